// A web server in a few lines. Stop it, kill it, let it crash (/crash): Supervisor brings it back.
import { createServer } from 'node:http'

const port = Number(process.env.PORT)

createServer((request, response) => {
  console.log(`${request.method} ${request.url}`)
  if (request.url === '/crash') throw new Error('you asked for it')
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(request.url === '/health' ? 'ok\n' : `${process.env.GREETING}, I am process ${process.pid}\n`)
}).listen(port, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`))
