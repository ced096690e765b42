// Package process is the contract between the manager and the keeper: what is asked for (Spec), what is observed (Run,
// Exit), the frames on the socket, and the Client that speaks them.
//
// It knows nothing of services, manifests or policies. The keeper decides nothing: it starts what it is told to start,
// stops what it is told to stop, keeps the output, and remembers how things ended until it is told to forget.
package process
