// Package scan looks at an exposed service the way a stranger would, and grades what it finds: red for what can be used
// against it now, amber for what makes an attack easier, green for what is as it should be.
//
// It only asks: GET, HEAD and OPTIONS, a bounded number of requests of bounded size, none of which changes anything in a
// service that keeps HTTP's promises. It connects to the address that it is told, under the name that the service is exposed
// by, so that it sees what comes out of the proxy wherever that name points to. Each check is a function of what came back,
// without a network.
package scan
