// Package tree keeps and changes whole folders: it takes a backup of one, tells how two states of one differ, and makes one
// state of another such that a crash leaves the old or the new.
//
// What can be made anew stays where it is and is neither backed up nor changed: caches, virtual environments, node_modules, the
// data of version control, and what has no content to keep (sockets, devices, other file systems). Everything else is kept
// exactly: contents, modes, owners, times of files, symbolic and hard links, extended attributes, empty folders.
//
// A change of a folder is prepared beside the files, where it can fail without harm, and then written down in a journal; from
// there on it can only go forward. Recover finishes what a crash has interrupted:
//
//	stage ──► journal ──► remove ──► place ──► modes ──► done
//	  │ a crash leaves       │ a crash is followed by Recover,
//	  ▼ the old folder       ▼ which leaves the new one
//
// Folders may belong to others, who may be hostile, and we may be root: every path is opened below the folder and no link is
// followed out of it.
//
// The package knows nothing of services and agents.
package tree
