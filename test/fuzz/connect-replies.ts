// An upstream's answers to CONNECT: however they are cut, the same comes of them, and it is what a strict second reading
// of the whole says.

import {
  connectReplyLimits,
  makeConnectReplyReader,
  type ReplyProgress,
} from '../../src/gateway/connect-reply.ts'
import { inFewWords, type FuzzCase } from './fuzz-case.ts'
import { several, type Random } from './random.ts'
import { strictReply } from './strict.ts'

const words = [
  'HTTP/1.1 ', 'HTTP/1.0 ', 'HTTP/2.0 ', '200', '103', '100', '101', '407', '500', '099', '600', '\r\n', '\n', '\r',
  '\r\n\r\n', ': ', 'Content-Length: 5', 'Transfer-Encoding: chunked', ' ', '\t', '\0', '\x7f', '\xe9', 'ICY ', '20', '2000',
] // prettier-ignore

function reply(random: Random): string {
  const status = random.pick([
    '200',
    '200',
    '201',
    '299',
    '403',
    '407',
    '500',
    '503',
    '301',
    '100',
    '103',
    '101',
    '99',
    '1000',
  ])
  const version = random.pick(['HTTP/1.1', 'HTTP/1.0', 'HTTP/1.1', 'HTTP/1.2', 'HTTP/2', 'http/1.1'])
  const line = () =>
    random.pick([
      'Server: tinyproxy\r\n',
      'X: \r\n',
      'Y:y\r\n',
      'Z : z\r\n',
      ' folded\r\n',
      'no colon\r\n',
      ': nameless\r\n',
      'L: l\n',
    ])
  const end = random.chance(0.9) ? '\r\n' : random.pick(['\n', '', '\r'])
  return `${version} ${status}${random.pick([' OK', '', ' ', ' \xe9', ' Connection established'])}${end}${several(random, 3, line)}\r\n`
}

export const connectReplies: FuzzCase = {
  name: 'connect replies',
  words,
  make(random) {
    const interim = () => `HTTP/1.1 ${random.pick(['103', '100', '103', '101'])} Early\r\nA: b\r\n\r\n`
    const interims = several(random, random.chance(0.05) ? 14 : 2, interim)
    return Buffer.from(
      `${interims}${reply(random)}${random.chance(0.5) ? 'bytes of the tunnel' : ''}`,
      'latin1',
    )
  },

  run(input, random) {
    const whole = read([input])
    const cut = read(pieces(input, random))
    if (told(whole) !== told(cut)) throw new Error(`whole: ${told(whole)}; cut: ${told(cut)}`)
    const strict = strictReply(input.toString('latin1'))
    if (whole.kind === 'established') {
      const rest = strict.kind === 'established' ? input.subarray(strict.length) : null
      if (!rest?.equals(whole.rest)) throw new Error(`established, strictly ${JSON.stringify(strict)}`)
    } else if (whole.kind === 'refused') {
      if (strict.kind !== 'refused' || strict.status !== whole.status)
        throw new Error(`refused with ${whole.status}, strictly ${JSON.stringify(strict)}`)
    } else if (strict.kind !== 'other' && isWithinLimits(input, strict.length)) {
      throw new Error(`${whole.kind}, strictly ${JSON.stringify(strict)}`)
    }
    return inFewWords(told(whole))
  },
}

function isWithinLimits(input: Buffer, length: number): boolean {
  const lines = input.toString('latin1', 0, length).split('\n').length
  return length <= connectReplyLimits.headBytes && lines <= connectReplyLimits.headLines
}

function read(chunks: readonly Buffer[]): ReplyProgress {
  const reader = makeConnectReplyReader()
  let progress: ReplyProgress = { kind: 'more' }
  for (const [index, chunk] of chunks.entries()) {
    progress = reader.push(chunk)
    if (progress.kind === 'established')
      return { ...progress, rest: Buffer.concat([progress.rest, ...chunks.slice(index + 1)]) }
    if (progress.kind !== 'more') return progress
  }
  return progress
}

function pieces(input: Buffer, random: Random): Buffer[] {
  const cuts = Array.from({ length: random.int(6) }, () => random.int(input.length + 1)).sort((a, b) => a - b)
  return [0, ...cuts].map((from, index) => input.subarray(from, cuts[index]))
}

function told(progress: ReplyProgress): string {
  if (progress.kind === 'more') return 'more'
  if (progress.kind === 'malformed') return `malformed: ${progress.detail}`
  const rest = progress.kind === 'established' ? ` and ${progress.rest.length} bytes` : ''
  return `${progress.kind} ${progress.status}${rest}`
}
