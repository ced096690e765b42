// The bodies of the API, as api/wire and api/v1 write them. Only what the dashboard reads is here.

export type Kind = 'Service' | 'CronJob';

export interface Key {
	kind: Kind;
	name: string;
}

export type Phase =
	| 'Pending'
	| 'Starting'
	| 'Running'
	| 'Unready'
	| 'Stopping'
	| 'Stopped'
	| 'Backoff'
	| 'Failed'
	| 'Complete';

export interface Condition {
	type: string;
	status: 'True' | 'False' | 'Unknown';
	reason: string;
	message: string;
	lastTransitionTime: string;
}

export interface ExitInfo {
	code: number;
	signal?: string;
	core?: boolean;
	oom?: boolean;
	lost?: boolean;
	startedAt: string;
	at: string;
	reason: string;
	lastLines?: string[];
}

export interface ReplicaStatus {
	index: number;
	run: string;
	pid: number;
	port?: number;
	ready: boolean;
	startedAt?: string;
	message?: string;
	attempts?: number;
	nextStart?: string;
	failed?: boolean;
	complete?: boolean;
}

export interface ServiceStatus {
	observedRevision: string;
	phase: Phase;
	conditions?: Condition[];
	pid: number;
	port?: number;
	startedAt?: string;
	replicas?: ReplicaStatus[];
	restarts: number;
	attempts?: number;
	lastExit?: ExitInfo;
	nextRestart?: string;
	url?: string;
	rollout?: RolloutStatus;
	updatedAt: string;
}

export interface Metadata {
	name: string;
	labels?: Record<string, string>;
	annotations?: Record<string, string>;
}

export type Command = string | string[];

export interface Probe {
	httpGet?: { path?: string; port?: number; host?: string; scheme?: string };
	tcpSocket?: { port?: number; host?: string };
	exec?: { command: Command };
	period?: string;
	timeout?: string;
	failureThreshold?: number;
}

export interface Expose {
	enabled?: boolean;
	subdomain?: string;
	path?: string;
	host?: string;
	tls?: string;
}

export interface Resources {
	memoryMax?: string;
	cpuMax?: string;
	pidsMax?: number;
}

export interface ServiceSpec {
	command: Command;
	workingDir?: string;
	enabled?: boolean;
	port?: number | 'auto';
	replicas?: number;
	env?: Record<string, string>;
	envFile?: (string | { path: string; optional?: boolean })[];
	user?: string;
	dependsOn?: { name: string; condition?: string }[];
	restart?: { policy?: string; delay?: string; maxDelay?: string; maxAttempts?: number; resetAfter?: string };
	stop?: { signal?: string; timeout?: string };
	probes?: { startup?: Probe; readiness?: Probe; liveness?: Probe };
	update?: { strategy?: 'Recreate' | 'Rolling' };
	expose?: Expose;
	resources?: Resources;
	watchDirs?: string[];
	autofix?: { enabled?: boolean; agent?: string; model?: string; mode?: string };
}

export interface Service {
	apiVersion: string;
	kind: 'Service';
	metadata: Metadata;
	spec: ServiceSpec;
	status?: ServiceStatus;
}

export interface CronJobSpec {
	command: Command;
	schedule: string;
	seconds?: boolean;
	timeZone?: string;
	enabled?: boolean;
	timeout?: string;
	concurrencyPolicy?: 'Allow' | 'Forbid' | 'Replace';
	startingDeadline?: string;
	catchUp?: string;
	jitter?: string;
	retries?: { limit?: number; delay?: string };
	history?: { keep?: number };
	workingDir?: string;
	env?: Record<string, string>;
}

export interface CronJobStatus {
	observedRevision: string;
	conditions?: Condition[];
	running: boolean;
	lastRun?: string;
	nextRun?: string;
	lastSuccess?: boolean;
	updatedAt: string;
}

export interface CronJob {
	apiVersion: string;
	kind: 'CronJob';
	metadata: Metadata;
	spec: CronJobSpec;
	status?: CronJobStatus;
}

export interface List<T> {
	items: T[];
}

export interface Event {
	id: number;
	time: string;
	key?: Key;
	type: 'Normal' | 'Warning';
	reason: string;
	message: string;
	actor?: string;
}

/** One step of what is observed. */
export interface Change {
	seq: number;
	kind: 'status' | 'event' | 'object';
	key?: Key;
	status?: ServiceStatus;
	/** The status of a cron job. */
	cronjob?: CronJobStatus;
	event?: Event;
	revision?: string;
	deleted?: boolean;
}

export interface Snapshot {
	seq: number;
	gap?: boolean;
	objects: { key: Key; revision: string; status?: ServiceStatus; cronjob?: CronJobStatus }[];
}

export interface Usage {
	time: string;
	cpu_percent: number;
	memory_mb: number;
	memory_kind: string;
	disk_mb: number | null;
	disk_partial?: boolean;
	processes: number;
	threads: number;
	open_files: number | null;
	read_bytes: number | null;
	write_bytes: number | null;
}

export interface MetricsNow {
	services: Record<string, Usage>;
	cronjobs: Record<string, Usage>;
}

/** The last hour of everything, on a grid. */
export interface Recent {
	start: string;
	step_seconds: number;
	services: Record<string, { cpu_percent: (number | null)[]; memory_mb: (number | null)[] }>;
	cronjobs: Record<string, { cpu_percent: (number | null)[]; memory_mb: (number | null)[] }>;
}

export interface SeriesPoint {
	time: string;
	step_seconds: number;
	cpu_percent: number;
	cpu_max: number;
	memory_mb: number;
	memory_max_mb: number;
	disk_mb: number | null;
	threads: number;
	processes: number;
	open_files: number | null;
	read_bytes: number | null;
	write_bytes: number | null;
}

export interface Process {
	pid: number;
	ppid: number;
	command: string;
	cpu_seconds: number;
	memory_mb: number;
	threads: number;
	started: string;
	run: string;
	replica: number;
}

export interface ManifestProblem {
	file: string;
	line?: number;
	column?: number;
	field?: string;
	detail: string;
	key?: Key;
}

export interface Problem {
	status: number;
	title: string;
	detail: string;
	code?: string;
	errors?: { field: string; detail: string }[];
	problems?: ManifestProblem[];
	/** The manifest file as it is, when it is not as it was seen. */
	current?: { path: string; text: string; etag: string };
	request_id?: string;
}

export interface Applied {
	key: Key;
	result: 'created' | 'configured' | 'unchanged' | 'failed';
	revision?: string;
	phase?: Phase;
	pid?: number;
	message?: string;
}

export interface Validation {
	valid: boolean;
	problems: ManifestProblem[];
	keys: Key[];
}

export interface Version {
	version: string;
	go: string;
	keeper?: string;
	pid: number;
	startedAt: string;
	address?: string;
	serviceHost?: string;
	dataDir: string;
	manifests: string;
}

export interface Job {
	id: string;
	name: string;
	status: 'pending' | 'running' | 'completed' | 'failed';
	result: unknown;
	error: string | null;
	created_at: string;
	started_at: string | null;
	completed_at: string | null;
	progress: string | null;
	duration_seconds: number | null;
	kind: string;
	subject?: string;
	reason?: string;
	fraction: number;
	actor?: string;
}

export interface JobLine {
	seq: number;
	time: string;
	kind: string;
	text?: string;
}

/** One attempt of a cron job. */
export interface Execution {
	id: number;
	cron_job_name: string;
	started_at: string | null;
	finished_at: string | null;
	exit_code: number | null;
	stdout: string;
	stderr: string;
	success: boolean | null;
	duration_seconds: number;
	cpu_percent: number;
	memory_mb: number;
	scheduled: string;
	attempt: number;
	trigger: 'schedule' | 'catchUp' | 'manual';
	state: 'pending' | 'running' | 'succeeded' | 'failed' | 'timedOut' | 'stopped' | 'skipped' | 'missed';
	reason?: string;
	message?: string;
	signal?: string;
}

/** What a service's process is given. */
export interface Environment {
	variables: { name: string; value: string; origin: string; masked?: boolean }[];
	argv: string[];
	dir: string;
	shell: boolean;
	user?: string;
}

/** A cron job at a glance. */
export interface CronStatusRow {
	name: string;
	enabled: boolean;
	schedule: string;
	schedule_description: string;
	running: boolean;
	last_run: string | null;
	next_run: string | null;
	last_success: boolean | null;
	executions_24h: number;
	failures_24h: number;
}

/** The flat view of a service. */
export interface FlatService {
	name: string;
	command: string;
	working_dir: string;
	port: number | null;
	enabled: boolean;
	url?: string;
	file?: string;
	watch_dirs: string[];
	created_at: string;
	updated_at: string;
}

/** How services are reached through Caddy. */
export interface Routes {
	mode: 'file' | 'api' | 'managed' | 'off';
	state: 'off' | 'idle' | 'pending' | 'serving' | 'unreachable' | 'rejected';
	message: string;
	admin: string;
	file?: string;
	reloads: number;
	healed: number;
	last_reload: string | null;
	last_error: string;
	last_error_at: string | null;
	drift: string;
	drift_at: string | null;
	dashboard?: string;
	routes: Route[];
}

export interface Route {
	service: string;
	url: string;
	host: string;
	port: number;
	path: string;
	tls: string;
	upstreams: string[];
	stopped: boolean;
	served: boolean;
	exposed: Condition | null;
	answers: boolean | null;
	answer: string;
	checked_at: string | null;
	milliseconds: number;
}

export type RolloutPhase = 'Progressing' | 'Complete' | 'Failed' | 'Superseded';

export interface RolloutStatus {
	from?: string;
	to: string;
	phase: RolloutPhase;
	step?: string;
	replica: number;
	startedAt: string;
	endedAt?: string;
	actor?: string;
	message?: string;
	lastLines?: string[];
}

/** How the update of a service does. */
export interface Rollout {
	name: string;
	strategy: 'Recreate' | 'Rolling';
	revision: string;
	stable_revision?: string;
	settled: boolean;
	message: string;
	current?: RolloutStatus;
}

export interface RolloutRevision {
	number: number;
	revision: string;
	phase: RolloutPhase;
	started_at: string;
	ended_at?: string;
	actor?: string;
	message?: string;
	current: boolean;
	changes?: string[];
	spec?: unknown;
}

/** One repair by a coding agent. */
export interface Fix {
	id: number;
	error_summary: string;
	robot_response: string;
	success: boolean;
	files_modified: string[];
	backup_path: string | null;
	restored: boolean;
	can_restore: boolean;
	timestamp: string;
	object: Key;
	folder: string;
	state: 'Pending' | 'Preparing' | 'Working' | 'Checking' | 'Proposed' | 'Applying' | 'Verifying' | 'Reverting' | 'Applied' | 'Reverted' | 'Refused' | 'Rejected' | 'Failed';
	reason: string;
	cause: string;
	detail: string;
	actor: string;
	job_id: string;
	diff: string;
	agent: string;
	model: string;
	input_tokens: number;
	output_tokens: number;
	cost_usd: number;
	duration_seconds: number;
	ended_at: string | null;
	restored_at: string | null;
}

/** The newest security scan of a service. */
export interface Scan {
	has_scan: boolean;
	job_id: string | null;
	status: Job['status'] | null;
	result: ScanResult | null;
	error: string | null;
	started_at: string | null;
	completed_at: string | null;
}

export interface ScanResult {
	url: string;
	scan_time: string;
	summary: Record<ScanFinding['status'], number>;
	findings: ScanFinding[];
	requests: number;
	notes?: string[];
}

export interface ScanFinding {
	category: string;
	check: string;
	status: 'red' | 'amber' | 'green';
	detail: string;
	recommendation: string;
	source: 'supervisor' | 'agent';
}

/** A coding agent that is known on this machine. */
export interface Agent {
	id: string;
	name: string;
	installed: boolean;
	version: string;
	ready: boolean;
	reason: string;
	default: boolean;
	install?: string;
	models: string[];
}

export interface ChatTool {
	id: string;
	kind?: string;
	title?: string;
	status?: string;
	paths?: string[];
	diffs?: { path: string; old: string; new: string }[];
}

/** One event of the assistant's answer. */
export interface ChatEvent {
	type: 'text' | 'tool' | 'result' | 'error' | 'done' | 'permission' | 'decision' | 'thought' | 'plan' | 'wait';
	content: string;
	session_id: string;
	tool?: ChatTool;
	permission?: { id: string; pending?: boolean; allowed: boolean; why?: string };
	usage?: { input_tokens: number; output_tokens: number; cost_usd: number };
}

export interface Conversation {
	id: string;
	title: string;
	agent: string;
	model: string;
	dir: string;
	about?: string;
	created_at: string;
	updated_at: string;
	entries?: { time: string; role: 'user' | 'assistant'; text: string; tools?: string[]; error?: string }[];
}

/** Something that a program wants to do and a person has to allow first. */
export interface Approval {
	id: string;
	action: string;
	keys: Key[];
	summary: string;
	detail?: string;
	actor: string;
	state: 'waiting' | 'approved' | 'rejected' | 'used' | 'expired';
	created_at: string;
	expires_at: string;
	decided_by?: string;
}
