// Package activator holds the requests for services that run only when somebody asks for them.
//
// Each such service has an address here. While it does not run, the web server in front sends its requests to that address.
// The first of them wakes the service, and all of them wait, so many at most, until it is ready; then they are passed on, and
// those that follow go to the service itself.
package activator
