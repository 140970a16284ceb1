// A second reading of what clients send, written from the RFCs and apart from src: slow, strict, one regular expression
// each. Where the gateway goes on with something, this must have read the same.

export type StrictTarget = { readonly host: string; readonly port: number }

/**
 * host:port of a CONNECT: RFC 9112 section 3.2.3, the host as RFC 952/1123 (and underscores), RFC 3986's dotted quad,
 * or an IPv6 literal without a zone.
 * @returns null where it is none; addresses as numbers in hex, so that spelling plays no part
 */
export function strictTarget(text: string): StrictTarget | null {
  const [, bracketed, plain, port] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_](?:[A-Za-z0-9._-]*))):([1-9][0-9]{0,4})$/.exec(text) ?? []
  if (port === undefined || Number(port) > 65_535) return null
  const host = bracketed === undefined ? strictName(plain!) : ipv6Hex(bracketed)
  return host === null ? null : { host, port: Number(port) }
}

function strictName(text: string): string | null {
  const name = text.toLowerCase().replace(/\.$/, '')
  const octets = ipv4(name)
  if (octets !== null) return `4:${octets.map((octet) => octet.toString(16).padStart(2, '0')).join('')}`
  const labels = name.split('.')
  if (labels.some((label) => !/^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/.test(label) || label.length > 63))
    return null
  if (/^([0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1)!) || name.length > 253) return null
  return name
}

function ipv4(text: string): number[] | null {
  const parts = text.split('.')
  if (parts.length !== 4 || parts.some((part) => !/^(0|[1-9][0-9]{0,2})$/.test(part))) return null
  const octets = parts.map(Number)
  return octets.every((octet) => octet < 256) ? octets : null
}

/** RFC 4291 section 2.2, as 32 hex digits. */
export function ipv6Hex(text: string): string | null {
  const [head = '', tail, more] = text.split('::')
  if (more !== undefined) return null
  const before = groups(head)
  const after = tail === undefined ? [] : groups(tail)
  if (before === null || after === null || (tail !== undefined && dotted(head))) return null
  const missing = 8 - before.length - after.length
  if (tail === undefined ? missing !== 0 : missing < 1) return null
  return `6:${[...before, ...Array<string>(missing).fill('0000'), ...after].join('')}`
}

function dotted(text: string): boolean {
  return text.includes('.')
}

function groups(text: string): string[] | null {
  if (text === '') return []
  const parts = text.split(':')
  const last = parts.at(-1)!
  const octets = dotted(last) ? ipv4(last) : null
  if (dotted(last)) {
    if (octets === null) return null
    const hex = octets.map((octet) => octet.toString(16).padStart(2, '0')).join('')
    parts.splice(-1, 1, hex.slice(0, 4), hex.slice(4))
  }
  if (parts.some((part) => !/^[0-9A-Fa-f]{1,4}$/.test(part))) return null
  return parts.map((part) => part.toLowerCase().padStart(4, '0'))
}

export type StrictHead = {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Bytes of the input that it took, empty lines before it included. */
  readonly length: number
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const fieldText = '[\\t\\x20-\\x7e\\x80-\\xff]*'
const headPattern = new RegExp(
  `^[\\r\\n]*(${token}) +([\\x21-\\x7e]+) +HTTP/1\\.[01]\\r\\n((?:${token}:${fieldText}\\r\\n)*)\\r\\n`,
  's',
)

/** A request head: RFC 9112 sections 3 and 5. Several spaces are one (section 3 allows it), and
 * line ends before it are none, whole or not (section 2.2: node:http skips them, and there is nothing yet to get wrong). */
export function strictHead(text: string): StrictHead | null {
  const [whole, method, target, lines] = headPattern.exec(text) ?? []
  if (whole === undefined) return null
  const headers = lines!
    .split('\r\n')
    .filter(Boolean)
    .map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, '')] as const
    })
  return { method: method!, target: target!, headers, length: whole.length }
}

export type StrictReply =
  | { readonly kind: 'established' | 'refused'; readonly status: number; readonly length: number }
  | { readonly kind: 'other' }

const replyPattern = new RegExp(
  `HTTP/1\\.[01] ([1-5][0-9]{2})(?: ${fieldText})?\\r\\n((?:${token}:${fieldText}\\r\\n)*)\\r\\n`,
  'sy',
)

/** The answer to a CONNECT: interim answers (1xx but 101), then one. `other`: not whole, or not HTTP. */
export function strictReply(text: string): StrictReply {
  let at = 0
  for (let interims = 0; interims <= 10; interims++) {
    replyPattern.lastIndex = at
    const match = replyPattern.exec(text)
    if (match === null) return { kind: 'other' }
    at += match[0].length
    const status = Number(match[1])
    if (status === 101) return { kind: 'other' }
    if (status >= 200) return { kind: status < 300 ? 'established' : 'refused', status, length: at }
  }
  return { kind: 'other' }
}
