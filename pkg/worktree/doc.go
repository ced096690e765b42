// Package worktree is the git work tree that a folder may lie in: what differs from HEAD, and commits of single files. It runs the
// git program, each time for a bounded time, and knows nothing of what the files hold.
package worktree
