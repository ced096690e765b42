// What a person can tell the supervisor to do with an object. Each says what came of it.

import { api, ApiError, part } from './api/client';
import { toast } from './toast.svelte';

interface Outcome {
	status: string;
	name: string;
	pid?: number;
	execution_id?: number;
}

async function order(call: () => Promise<Outcome>, words: (o: Outcome) => string, undo?: () => void): Promise<Outcome | undefined> {
	try {
		const outcome = await call();
		toast.ok(words(outcome), undo ? { label: 'Undo', run: undo } : undefined);
		return outcome;
	} catch (error) {
		// It was begun and takes longer than a request may: the page shows how it goes on.
		if (error instanceof ApiError && error.status === 504) toast.ok(error.message);
		else toast.problem(error);
		return undefined;
	}
}

const service = (name: string, verb: string) => api.post<Outcome>(`/api/services/${part(name)}/${verb}`);
const cron = (name: string, verb: string) => api.post<Outcome>(`/api/cron/${part(name)}/${verb}`);

export const orders = {
	start: (name: string) => order(() => service(name, 'start'), (o) => (o.status === 'already_running' ? `${name} runs already.` : `${name} was started.`)),
	stop: (name: string): Promise<Outcome | undefined> =>
		order(() => service(name, 'stop'), (o) => (o.status === 'not_running' ? `${name} did not run; it stays stopped.` : `${name} was stopped.`), () => void orders.start(name)),
	restart: (name: string) => order(() => service(name, 'restart'), (o) => `${name} was restarted${o.pid ? ` (process ${o.pid})` : ''}.`),
	run: (name: string) => order(() => cron(name, 'run'), (o) => (o.status === 'already_running' ? `${name} runs already.` : `A run of ${name} began.`)),
	stopRun: (name: string) => order(() => cron(name, 'stop'), (o) => (o.status === 'not_running' ? `Nothing runs of ${name}.` : `${name} was stopped.`)),
};
