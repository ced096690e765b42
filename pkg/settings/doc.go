// Package settings reads how the supervisor itself is set up: where its data is, where it listens, its defaults.
//
// Each setting has one name. It is taken from the flag of that name (--supervisor-port), else the environment
// (SUPERVISOR_PORT), else a .env file in the working directory, else a .env file in the data folder, else its
// default; where it was found is remembered, for people who wonder. All that is wrong is told at once, each with
// its name, its origin and what is allowed.
//
// The package knows nothing of what the settings are for. Paths in it are absolute, durations are time.Duration,
// sizes are bytes.
package settings
