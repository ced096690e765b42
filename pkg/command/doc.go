// Package command turns what a manifest says about a program — a command line or an argument list, a folder, variables,
// dotenv files — into the argv, the environment and the folder that the kernel is given.
//
// A line is parsed, not guessed. Plain words, quotes, NAME=value in front, $NAME, ${NAME} and $(NAME) are resolved here and
// the program is run directly; a line that needs more of a shell (pipes, &&, redirections, globs, builtins) is handed to
// /bin/sh as it stands. $(NAME) is Kubernetes' way to write a variable: it means one when NAME is a variable that the
// program will have and nothing else is between the parentheses; otherwise it is the shell's command substitution.
//
// The package starts nothing and knows no other package of ours.
package command
