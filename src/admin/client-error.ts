// What node's parser cannot read never becomes a request; its answer is a problem document all the same.

import type { Socket } from 'node:net'
import { problem } from './problem.ts'

const answers: { readonly [code: string]: readonly [status: string, detail: string] } = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not come to its end in time.'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The head of the request is too large.'],
}
const malformed = ['400 Bad Request', 'The request is not HTTP/1.1 as it should be.'] as const

export function answerClientError({ code = '' }: { readonly code?: string }, socket: Socket): void {
  if (code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const [status, detail] = answers[code] ?? malformed
  const body = JSON.stringify(problem(Number.parseInt(status), 'bad_request', detail))
  const head = [
    `HTTP/1.1 ${status}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}
