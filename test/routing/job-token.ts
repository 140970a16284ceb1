import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { isLikeJobToken, mintJobToken, readJobToken } from '../../src/routing/job-token.ts'
import type { Job } from '../../src/types.ts'

const nowMs = Date.UTC(2026, 0, 1)
const hourMs = 3_600_000
const expiresAtMs = nowMs + hourMs
const old = { id: 'k1', secret: 'the first secret, of 32 characters' }
const next = { id: 'k2', secret: 'the other secret, of 32 characters' }
const keys = [next, old]

const job = (id: string, type: string | null = null, institution: string | null = null): Job => ({
  id,
  type,
  institution,
})
const mint = (of: Job, key = old, expires = expiresAtMs) =>
  mintJobToken({ job: of, expiresAtMs: expires }, key)
const read = (token: string, of = keys, now = nowMs) => readJobToken(token, of, now)

/** As the gateway's key would, whatever it is that stands there. */
function sign(payload: string | object, { start = 'lk1.k1', encoding = 'base64url' as BufferEncoding } = {}) {
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
  const signed = `${start}.${Buffer.from(text).toString(encoding)}`
  return `${signed}.${createHmac('sha256', old.secret).update(signed).digest('base64url')}`
}

t.test('what is minted is read, by any gateway that has the key', async (t) => {
  for (const one of [job('42'), job('42', 'payment'), job('42', null, 'bank-a'), job('a:b@c+d', 't', 'i')])
    t.strictSame(read(mint(one)), { grant: { job: one, expiresAtMs }, keyId: 'k1' }, one.id)
})

t.test('the form is the one that others may write too', async (t) => {
  const token = mint(job('42', 'payment', 'bank-a'))
  t.equal(token, sign({ job: '42', type: 'payment', institution: 'bank-a', exp: expiresAtMs / 1000 }))
  t.equal(mint(job('42')), sign({ job: '42', exp: expiresAtMs / 1000 }), 'what the job lacks is left out')
  t.match(token, /^lk1\.k1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/)
  const { password } = new URL(`http://:${token}@gateway:3128`)
  t.equal(password, token, 'it stands in a URL as it is')
  const longest = mint(job('a'.repeat(128), 't'.repeat(64), 'i'.repeat(64)), { ...old, id: 'k'.repeat(32) })
  t.ok(longest.length <= 512, 'the longest is short enough to be read')
  t.match(read(longest, [{ ...old, id: 'k'.repeat(32) }]), { keyId: 'k'.repeat(32) })
})

t.test('keys are rotated: all are valid, until one is taken away', async (t) => {
  const [older, newer] = [mint(job('42'), old), mint(job('42'), next)]
  for (const token of [older, newer]) t.match(read(token), { grant: { job: job('42') } })
  t.strictSame(read(older, [next]), { refused: 'unknown_key' })
  t.strictSame(
    read(older, [{ ...next, id: 'k1' }]),
    { refused: 'forged' },
    'another secret under the same id',
  )
  t.strictSame(read(older, []), { refused: 'unknown_key' })
  t.strictSame(read(older.replace('.k1.', '.k2.')), { refused: 'forged' }, 'the key id is signed too')
})

t.test('it ends with its last second', async (t) => {
  const token = mint(job('42'))
  t.match(read(token, keys, expiresAtMs - 1), { grant: { expiresAtMs } })
  const expired = { refused: 'expired', grant: { job: job('42'), expiresAtMs } }
  t.strictSame(read(token, keys, expiresAtMs), expired, 'who it was for is told, since it was good')
  t.strictSame(read(mint(job('42'), old, expiresAtMs + 999)), read(token), 'parts of a second do not count')
})

t.test('tokens that are refused', async (t) => {
  const good = mint(job('42'))
  const [, , payload, mac] = good.split('.') as [string, string, string, string]
  const exp = expiresAtMs / 1000
  const rows: [name: string, token: string, refused: string][] = [
    ['nothing', '', 'malformed'],
    ['its beginning', 'lk1.', 'malformed'],
    ['no MAC', `lk1.k1.${payload}`, 'malformed'],
    ['an empty MAC', `lk1.k1.${payload}.`, 'malformed'],
    ['half a MAC', good.slice(0, -21), 'malformed'],
    ['a MAC that goes on', `${good}A`, 'malformed'],
    ['padding', `${good}=`, 'malformed'],
    ['a line end', `${good}\n`, 'malformed'],
    ['another version', sign({ job: '42', exp }, { start: 'lk2.k1' }), 'malformed'],
    ['a version in upper case', good.replace('lk1', 'LK1'), 'malformed'],
    ['no key id', sign({ job: '42', exp }, { start: 'lk1.' }), 'malformed'],
    ['a key id of 33 characters', good.replace('k1.', `${'k'.repeat(33)}.`), 'malformed'],
    ['a key named like a part of every object', good.replace('.k1.', '.constructor.'), 'unknown_key'],
    ['a part too many', good.replace('.k1.', '.k1.k1.'), 'malformed'],
    ['no payload', sign(''), 'malformed'],
    ['more than 512 characters', `lk1.k9.${'A'.repeat(462)}.${mac}`, 'malformed'],
    ['512 characters', `lk1.k9.${'A'.repeat(461)}.${mac}`, 'unknown_key'],
    ['the MAC of another', `lk1.k1.${payload}.${mint(job('43')).split('.')[3]}`, 'forged'],
    ['the payload of another', `lk1.k1.${mint(job('43')).split('.')[2]}.${mac}`, 'forged'],
    // The last character holds two bits that decoders leave out.
    ['a MAC in another spelling', respelled(good), 'forged'],
    ['standard base64', sign({ job: '~~~~', exp }, { encoding: 'base64' }), 'malformed'],
    ['signed, but no JSON', sign('job=42'), 'malformed'],
    ['signed, but null', sign('null'), 'malformed'],
    ['signed, but a list', sign('["42"]'), 'malformed'],
    ['a number as the job', sign({ job: 42, exp }), 'malformed'],
    ['no job', sign({ type: 'payment', exp }), 'malformed'],
    ['a bad job id', sign({ job: 'a b', exp }), 'malformed'],
    ['an empty job id', sign({ job: '', exp }), 'malformed'],
    ['129 characters', sign({ job: 'a'.repeat(129), exp }), 'malformed'],
    ['a type with a colon', sign({ job: '42', type: 'a:b', exp }), 'malformed'],
    ['a type of 65 characters', sign({ job: '42', type: 'a'.repeat(65), exp }), 'malformed'],
    ['a bad institution', sign({ job: '42', institution: '*', exp }), 'malformed'],
    ['null written out', sign({ job: '42', type: null, exp }), 'malformed'],
    ['no end', sign({ job: '42' }), 'malformed'],
    ['an end that is a text', sign({ job: '42', exp: String(exp) }), 'malformed'],
    ['an end before 1970', sign({ job: '42', exp: -1 }), 'malformed'],
    ['an end in parts of a second', sign({ job: '42', exp: exp + 0.5 }), 'malformed'],
    ['an end beyond all numbers', sign(`{"job":"42","exp":1e400}`), 'malformed'],
    ['an end that no date can show', sign({ job: '42', exp: 8.64e12 + 1 }), 'malformed'],
    ['a number spelled otherwise', sign(`{"job":"42","exp":${exp}.0}`), 'malformed'],
    ['a condition that nobody knows', sign({ job: '42', exp, targets: ['a'] }), 'malformed'],
    ['another order', sign({ exp, job: '42' }), 'malformed'],
    ['a word twice', sign(`{"job":"43","job":"42","exp":${exp}}`), 'malformed'],
    ['spaces', sign(`{"job": "42", "exp": ${exp}}`), 'malformed'],
    ['a spelling with escapes', sign(`{"job":"\\u0034\\u0032","exp":${exp}}`), 'malformed'],
    ['the prototype', sign(`{"__proto__":{"job":"42"},"exp":${exp}}`), 'malformed'],
  ]
  for (const [name, token, refused] of rows) t.strictSame(read(token), { refused }, name)
  const lengths = rows.map(([, token]) => token.length)
  t.strictSame([lengths.includes(512), lengths.includes(513)], [true, true])
})

/** The same bytes to a decoder that is not strict. */
function respelled(token: string): string {
  const bytes = Buffer.from(token.split('.')[3]!, 'base64url')
  const other = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    .split('')
    .map((last) => token.slice(0, -1) + last)
    .find((one) => one !== token && Buffer.from(one.split('.')[3]!, 'base64url').equals(bytes))
  return other!
}

t.test('no static token is taken for one unless it begins so', async (t) => {
  t.ok(isLikeJobToken(mint(job('42'))))
  for (const text of ['', 'lk1', 'lk2.k1.a.b', ' lk1.k1.a.b', 'LK1.k1.a.b'])
    t.notOk(isLikeJobToken(text), text)
})

const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~:@+-]{0,127}$/)
const word = fc.option(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~@+-]{0,63}$/))
const seconds = fc.integer({ min: nowMs / 1000 + 1, max: nowMs / 1000 + 30 * 86_400 })

t.test('every job comes back whole, until its token expires', async () => {
  fc.assert(
    fc.property(id, word, word, seconds, (id, type, institution, exp) => {
      const token = mint(job(id, type, institution), next, exp * 1000)
      const result = read(token)
      if ('refused' in result) return false
      const { grant } = result
      const isWhole = grant.job.id === id && grant.job.type === type && grant.job.institution === institution
      const isOver = 'refused' in read(token, keys, exp * 1000)
      return isWhole && grant.expiresAtMs === exp * 1000 && isOver && /^[A-Za-z0-9_.-]+$/.test(token)
    }),
    { numRuns: 300 },
  )
})

t.test('one character changed, left out, added or moved is one too many', async (t) => {
  const token = mint(job('42', 'payment', 'bank-a'))
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~ \u00e9'
  let tried = 0
  const taken: string[] = []
  const tryOne = (changed: string) => {
    tried += 1
    if (changed !== token && !('refused' in read(changed))) taken.push(changed)
  }
  for (let at = 0; at <= token.length; at++) {
    const [start, end] = [token.slice(0, at), token.slice(at + 1)]
    tryOne(start + end)
    tryOne(start + (end[0] ?? '') + (token[at] ?? '') + end.slice(1))
    for (const character of alphabet) {
      tryOne(start + character + end)
      tryOne(start + character + token.slice(at))
    }
  }
  t.ok(tried > 10_000)
  t.strictSame(taken, [])
})

t.test('any text at all is refused with a reason, and throws nothing', async () => {
  const part = fc.oneof(fc.string(), fc.base64String(), fc.stringMatching(/^[A-Za-z0-9_-]{43}$/), id)
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .tuple(fc.constantFrom('lk1', 'lk2', ''), fc.constantFrom('k1', 'k9'), part, part)
      .map((all) => all.join('.')),
    fc
      .oneof(
        fc.json(),
        fc.jsonValue().map((value) => JSON.stringify({ job: '42', exp: 2e9, more: value })),
      )
      .map((payload) => sign(payload)),
  )
  const reasons = ['malformed', 'unknown_key', 'forged']
  fc.assert(
    fc.property(text, (token) => {
      const result = read(token)
      return 'refused' in result && reasons.includes(result.refused)
    }),
    { numRuns: 3000 },
  )
})
