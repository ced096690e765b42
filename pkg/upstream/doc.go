// Package upstream tells the web server in front where each replica of a service is.
//
// It is one small file a replica, DIR/SERVICE/REPLICA, that holds an address such as 127.0.0.1:41234. Caddy's upstream is the
// placeholder {file.DIR/SERVICE/REPLICA}, which it reads at each request: exchanging the file moves the next request to another
// process, and Caddy's configuration, whose every change resets fresh connections, is not touched.
//
// It also counts the connections of a port, which says when a process has no more requests of those who came before.
package upstream
