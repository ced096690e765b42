// Package imports makes manifests of what other managers run: supervisord, PM2, systemd, and compose files.
//
// What has a meaning here is carried over; what has none, or another one, is a Note with the place, so that nothing is lost
// without a word. Nothing is run, and nothing but the given text is read. Texts of others are taken as they are: a $(date)
// in them stays one, and is no variable of a manifest.
package imports
