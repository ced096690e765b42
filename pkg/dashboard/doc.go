// Package dashboard is the web app, and the handler that serves it.
//
// The app is Svelte and TypeScript, built by vite (`make build`, or `npm run build` here) into dist, from where it is embedded.
// It uses the public JSON API and its event stream and nothing else. A binary that was built without it serves a page
// that says how to build it.
//
// # Where things are
//
//	src/main.ts            the entry
//	src/App.svelte         the frame: navigation, banner, toasts, palette
//	src/pages/routes.ts    the table of pages: path, title, icon, and how it is loaded
//	src/pages/NAME/        one folder a page
//	src/components/        what pages share; app.css holds the tokens (colours, sizes) that all of them use
//	src/lib/api/           the calls of the API, typed, and its errors
//	src/lib/live/          the one event stream, shared by all tabs, and the store that it feeds
//	src/lib/               router, formats, theme, toasts, keys
//	bench/tail.mjs         how many frames and lines a second a live tail makes, and what it holds
//	e2e/                   the browser tests, run by e2e_test.go against a real supervisor, and the pictures; world.mjs has the table of pages for both
//
// # Adding a page
//
// Make src/pages/NAME/Name.svelte, which takes `params` (of its path), and add a row to src/pages/routes.ts. It is a chunk
// of its own, loaded when somebody goes there. Read what runs from `live` (src/lib/live/live.svelte.ts): it is up to date, so a page
// fetches only what the stream does not carry. Call the API with `api` and show an error with `toast.problem(error)` or the
// Problem component. Links are plain `<a href="/...">`: the router takes them.
//
// A page's address must be none of the server's own (/api, /schemas, /metrics, /login, ...), so that a reload finds the page; the charts
// are at /charts for that reason. A view that a page and the page of a service share is a component, such as
// src/components/LogView.svelte, with the props `kind` and `name`.
//
// The content security policy allows nothing inline: no style="..." in templates (style:name={...} is fine, it goes through the
// DOM), no <style> elements made by libraries (give them a shadow root, where they use constructed sheets), no data: URLs
// but images.
package dashboard
