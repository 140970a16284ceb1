// What holds of every parser that meets bytes of others (hostile inputs, section 4, p1 to p6), over 100,000 inputs each, from
// the fuzzer's grammars and with its second reading. p3 (no two spellings of an address classify differently) is with
// the classifier. The inputs are the same in each run; `npm run fuzz` makes new ones.

import t from 'tap'
import { GatewayError, errorTable, headReasonStatus, type ErrorCode } from '../../src/errors.ts'
import { makeConnectReplyReader } from '../../src/gateway/connect-reply.ts'
import { connectHead } from '../../src/gateway/dial.ts'
import { errorReply } from '../../src/gateway/reply.ts'
import { readIdentity } from '../../src/routing/job.ts'
import { formatTarget, parseAuthority, parseHttpUrl } from '../../src/routing/target.ts'
import { connectReplies } from '../fuzz/connect-replies.ts'
import { credentials } from '../fuzz/credentials.ts'
import { makeRandom, type Random } from '../fuzz/random.ts'
import { strictHead, strictTarget } from '../fuzz/strict.ts'
import { targets } from '../fuzz/targets.ts'

const inputs = 100_000

/** @returns how many different outcomes there were */
function hold(fuzzCase: typeof targets, seed: number): number {
  const random = makeRandom(seed)
  const outcomes = new Set<string>()
  for (let left = inputs; left > 0; left--) {
    const input = fuzzCase.make(random)
    outcomes.add(fuzzCase.run(input, random) as string)
  }
  return outcomes.size
}

t.test('p1: any target is refused, or has one spelling that reads the same', async (t) => {
  t.ok(hold(targets, 1) >= 10, 'many outcomes were met')
})

t.test('p1: any credentials are refused, or name a job that was said, with a token of ours', async (t) => {
  t.ok(hold(credentials, 2) >= 20, 'many outcomes were met')
})

t.test('p2: the upstream is asked for the target that was read, and nothing else', async (t) => {
  const random = makeRandom(3)
  let read = 0
  for (let left = inputs; left > 0; left--) {
    const text = targets.make(random).toString('latin1')
    const strict = strictTarget(text)
    const target = unlessRefused(() => parseAuthority(text))
    if (target === null) continue
    read += 1
    const asked = strictHead(connectHead(formatTarget(target), null))
    const same = asked && strictTarget(asked.target)
    if (asked?.method !== 'CONNECT' || same?.host !== strict?.host || same?.port !== strict?.port)
      t.fail(`${text}: asked for ${asked?.target}`)
  }
  t.ok(read > inputs / 50, `${read} of them are targets`)
})

t.test('p4: an upstream\u2019s answer is the same however it is cut', async (t) => {
  // Few words each: established, refused, more, and what is malformed.
  t.ok(hold(connectReplies, 4) >= 8, 'many outcomes were met')
})

t.test('p5: Proxy-Status is always a structured field', async (t) => {
  const random = makeRandom(5)
  // RFC 8941: a list of one item, a token, with parameters that are tokens, integers or strings.
  const token = "[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"
  const value = `(?:${token}|-?[0-9]{1,15}|"(?:[\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e]|\\\\["\\\\])*")`
  const field = new RegExp(`^${token}(?:; *[a-z*][a-z0-9_.*-]*(?:=${value})?)*$`)
  const any = (): string =>
    String.fromCharCode(...Array.from({ length: random.int(12) }, () => random.int(256)))
  const codes = Object.keys(errorTable) as ErrorCode[]
  const reasons = Object.keys(headReasonStatus) as (keyof typeof headReasonStatus)[]
  for (let left = inputs; left > 0; left--) {
    const error = new GatewayError(random.pick(codes), {
      detail: any(),
      ...(random.chance(0.3) && { token: any() }),
      ...(random.chance(0.3) && { receivedStatus: random.pick([0, 200, 999, 12.5, -1]) }),
      ...(random.chance(0.3) && { reason: random.pick(reasons) }),
    })
    const { headers } = errorReply(error, { keepAlive: false })
    const [, text = ''] = headers.find(([name]) => name === 'Proxy-Status') ?? []
    if (!field.test(text)) t.fail(JSON.stringify(text))
  }
  t.pass(`${inputs} answers`)
})

t.test('p6: twice the input is about twice the work', async (t) => {
  const basic = (text: string) => `Basic ${Buffer.from(text, 'latin1').toString('base64')}`
  const parsers: { readonly [name: string]: (text: string) => void } = {
    'a target': (text) => void unlessRefused(() => parseAuthority(text)),
    'a URL': (text) => void unlessRefused(() => parseHttpUrl(`http://${text}`)),
    'a job id': (text) =>
      void unlessRefused(() => readIdentity(['X-Job-Id', text], { tokens: [], tokenRequired: false })),
    'a proxy user': (text) =>
      unlessRefused(() =>
        readIdentity(['Proxy-Authorization', basic(`${text}:x`)], { tokens: [], tokenRequired: false }),
      ),
    'an answer of an upstream': (text) =>
      void makeConnectReplyReader().push(Buffer.from(`HTTP/1.1 200 ${text}`, 'latin1')),
  }
  for (const [name, parse] of Object.entries(parsers)) {
    const [once, fourTimes] = [work(parse, 1), work(parse, 4)]
    // Linear is 4, quadratic is 16; what is refused by its length is less than either.
    t.ok(
      fourTimes < once * 10,
      `${name}: ${(fourTimes / once).toFixed(1)} times the work for 4 times the input`,
    )
  }
})

function unlessRefused<T>(parse: () => T): T | null {
  try {
    return parse()
  } catch (error) {
    if (error instanceof GatewayError) return null
    throw error
  }
}

/** CPU of parsing many pumped texts, the least of three times: what the machine does besides only adds. */
function work(parse: (text: string) => void, size: number): number {
  const times = [0, 1, 2].map(() => {
    const random = makeRandom(6)
    const before = process.cpuUsage().user
    for (let left = inputs / 30; left > 0; left--) parse(pumped(random, 250 * size))
    return process.cpuUsage().user - before
  })
  return Math.max(1, Math.min(...times))
}

/** Something, one thing again and again, and something that does not fit: what makes patterns go back. */
function pumped(random: Random, length: number): string {
  const pump = random.pick([
    'a',
    'a.',
    '1.',
    '0',
    ':',
    '%41',
    '=',
    ',',
    'job=',
    ' ',
    '-',
    'ff:',
    '::',
    '[',
    '\r\n',
    'X: y\r\n',
  ])
  return (
    random.pick(['', 'a', '[', 'job=']) +
    pump.repeat(Math.ceil(length / pump.length)) +
    random.pick(['', '!', '\0', ':443'])
  )
}
