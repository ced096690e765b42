// Package systemd renders and places the units that run the supervisor as a system service, or as a user's.
//
// The units are such that nothing of systemd's undoes what the keeper is for: the keeper has a unit of its own, no unit
// takes its children down with it, and one service that eats the memory is not the end of all. The package runs no
// command: what is to be typed next is the caller's to say.
package systemd
