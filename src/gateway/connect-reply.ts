// An upstream's answer to CONNECT, read byte by byte as it comes. Pure: no socket, no timer.
//
//   HTTP/1.x 1xx … CRLF CRLF   skipped, a few times
//   HTTP/1.x 2xx … CRLF CRLF   established; every byte behind it belongs to the tunnel
//   HTTP/1.x 3xx-5xx           refused; anything else: malformed, at the first byte that cannot be right
//
// Our own, since node:http's client ends a CONNECT on the first 1xx and takes 000 and 600 for an answer
// (measured on Node 24.21). Nothing is stored, so pieces of any size cost the same and give the same.

export const connectReplyLimits = {
  /** Everything before the tunnel's first byte, interim answers included. */
  headBytes: 16_384,
  /** Header lines, those of interim answers included. */
  headLines: 100,
  interims: 10,
} as const

type Limits = { readonly [name in keyof typeof connectReplyLimits]: number }

type Malformed = {
  readonly kind: 'malformed'
  /** Fixed words, never the upstream's own. */
  readonly detail: string
  readonly token: 'http_protocol_error' | 'http_response_header_section_size'
}

export type ReplyProgress =
  | { readonly kind: 'more' }
  | { readonly kind: 'established'; readonly status: number; readonly rest: Buffer }
  | { readonly kind: 'refused'; readonly status: number }
  | Malformed

export type ConnectReplyReader = { push(chunk: Buffer): ReplyProgress }

type Verdict =
  | { readonly kind: 'established'; readonly status: number }
  | { readonly kind: 'refused'; readonly status: number }
  | Malformed

type State = {
  readonly limits: Limits
  bytes: number
  lines: number
  interims: number
  /** Of the version's prefix. */
  matched: number
  status: number
}

/** Takes one byte; answers what takes the next one, or how it ended. */
type Step = (state: State, byte: number) => Step | Verdict

const CR = 13
const LF = 10
const TAB = 9
const SPACE = 32
const COLON = 58
const DIGIT_0 = 48

const versionPrefix = Buffer.from('HTTP/1.')

/** @see RFC 9112 sections 4 and 5, RFC 9110 section 9.3.6 */
export function makeConnectReplyReader(limits: Limits = connectReplyLimits): ConnectReplyReader {
  const state: State = { limits, bytes: 0, lines: 0, interims: 0, matched: 0, status: 0 }
  let next: Step | Verdict = startLine

  return {
    push(chunk: Buffer): ReplyProgress {
      let at = 0
      while (typeof next === 'function' && at < chunk.length) next = readByte(next, state, chunk[at++]!)
      if (typeof next === 'function') return { kind: 'more' }
      if (next.kind !== 'established') return next
      return { kind: 'established', status: next.status, rest: chunk.subarray(at) }
    },
  }
}

function readByte(step: Step, state: State, byte: number): Step | Verdict {
  state.bytes += 1
  const { headBytes } = state.limits
  return state.bytes > headBytes ? tooLarge(`its head is longer than ${headBytes} bytes`) : step(state, byte)
}

function startLine(state: State, byte: number): Step | Verdict {
  if (byte !== versionPrefix[state.matched]) return broken('it does not begin with HTTP/1.')
  state.matched += 1
  return state.matched < versionPrefix.length ? startLine : minorVersion
}

function minorVersion(_: State, byte: number): Step | Verdict {
  const isKnown = byte === DIGIT_0 || byte === DIGIT_0 + 1
  return isKnown ? versionEnd : broken('its HTTP version is neither 1.0 nor 1.1')
}

function versionEnd(_: State, byte: number): Step | Verdict {
  return byte === SPACE ? hundreds : badStatus()
}

function hundreds(state: State, byte: number): Step | Verdict {
  state.status = byte - DIGIT_0
  return state.status >= 1 && state.status <= 5 ? tens : badStatus()
}

function tens(state: State, byte: number): Step | Verdict {
  return addDigit(state, byte) ? units : badStatus()
}

function units(state: State, byte: number): Step | Verdict {
  if (!addDigit(state, byte)) return badStatus()
  if (state.status === 101) return broken('it switches to a protocol that nobody asked for (101)')
  if (state.status < 200) state.interims += 1
  const { interims } = state.limits
  return state.interims > interims ? broken(`it sends more than ${interims} interim answers`) : statusEnd
}

function addDigit(state: State, byte: number): boolean {
  const digit = byte - DIGIT_0
  state.status = state.status * 10 + digit
  return digit >= 0 && digit <= 9
}

function statusEnd(_: State, byte: number): Step | Verdict {
  if (byte === SPACE) return reason
  if (byte === LF) return badByte('status line', byte)
  return byte === CR ? lineEnd : badStatus()
}

function reason(_: State, byte: number): Step | Verdict {
  if (byte === CR) return lineEnd
  return isText(byte) ? reason : badByte('status line', byte)
}

function lineEnd(_: State, byte: number): Step | Verdict {
  return byte === LF ? lineStart : bareCr()
}

function lineStart(state: State, byte: number): Step | Verdict {
  if (byte === CR) return headEnd
  if (byte === SPACE || byte === TAB) return broken('it folds a header line')
  state.lines += 1
  const { headLines } = state.limits
  if (state.lines > headLines) return tooLarge(`its head has more than ${headLines} lines`)
  return isNameByte[byte] ? headerName : badByte('header name', byte)
}

function headerName(_: State, byte: number): Step | Verdict {
  if (isNameByte[byte]) return headerName
  if (byte === COLON) return headerValue
  return byte === CR ? broken('a header line has no colon') : badByte('header name', byte)
}

function headerValue(_: State, byte: number): Step | Verdict {
  if (byte === CR) return lineEnd
  return isText(byte) ? headerValue : badByte('header value', byte)
}

function headEnd(state: State, byte: number): Step | Verdict {
  if (byte !== LF) return bareCr()
  if (state.status >= 200)
    return { kind: state.status < 300 ? 'established' : 'refused', status: state.status }
  state.matched = 0
  return startLine
}

/** RFC 9110 section 5.6.2 (tchar). */
const isNameByte: readonly boolean[] = Array.from({ length: 256 }, (_, byte) =>
  /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(byte)),
)

/** RFC 9110 section 5.5: visible, blank, or what was once Latin-1; no NUL and no other control. */
function isText(byte: number): boolean {
  return byte === TAB || (byte >= SPACE && byte !== 127)
}

function badStatus(): Malformed {
  return broken('its status is not a number from 100 to 599')
}

function bareCr(): Malformed {
  return broken('a CR stands without its LF')
}

function badByte(where: string, byte: number): Malformed {
  if (byte === LF) return broken('an LF stands without its CR')
  return broken(`byte 0x${byte.toString(16).padStart(2, '0')} stands in a ${where}`)
}

function broken(detail: string): Malformed {
  return { kind: 'malformed', detail, token: 'http_protocol_error' }
}

function tooLarge(detail: string): Malformed {
  return { kind: 'malformed', detail, token: 'http_response_header_section_size' }
}
