/* The floor that a start is measured against: posix_spawn COUNT times the same program, print the pids, and nothing else. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

int main(int argc, char **argv) {
	if (argc < 4) return 2;
	int count = atoi(argv[3]);
	fcntl(1, F_SETFD, FD_CLOEXEC); /* whoever reads our output must see its end */
	fcntl(2, F_SETFD, FD_CLOEXEC);
	for (int i = 0; i < count; i++) {
		char name[32];
		pid_t pid;
		snprintf(name, sizeof name, "floor-%d", i);
		char *child[] = {argv[1], argv[2], name, NULL};
		if (posix_spawn(&pid, argv[1], NULL, NULL, child, environ) != 0) return 1;
		printf("%d\n", (int)pid);
	}
	return 0;
}
