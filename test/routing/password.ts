import t from 'tap'
import { mintJobToken } from '../../src/routing/job-token.ts'
import { readPassword } from '../../src/routing/password.ts'

const nowMs = Date.UTC(2026, 0, 1)
const key = { id: 'k1', secret: 'a secret of thirty-two characters' }
const hourAgo = 3_600_000
const job = { id: '42', type: null, institution: null }
const looksLikeOne = 'lk1.but-a.static.token'
const tokens = [
  { name: 'payments', token: 'old-token' },
  { name: 'statements', token: looksLikeOne },
]
const passwords = { tokens, jobTokens: { keys: [key], nowMs } }
const read = (password: string, of: Parameters<typeof readPassword>[1] = passwords) =>
  readPassword({ user: '', password: Buffer.from(password) }, of)
const good = mintJobToken({ job, expiresAtMs: nowMs + 1000 }, key)

t.test('what a password proves', async (t) => {
  t.strictSame(read('old-token'), { token: 'payments', tokenKey: null, job: null })
  t.strictSame(read(good), { token: null, tokenKey: 'k1', job })
  t.strictSame(
    read(looksLikeOne),
    { token: 'statements', tokenKey: null, job: null },
    'a static token may begin like a job token',
  )
})

t.test('who is refused is told why and what to do, and nothing of what was sent', async (t) => {
  const another = /Ask for another: lanekeeper token, or POST \/v1\/tokens/
  const rows: [name: string, password: string | null, detail: RegExp][] = [
    ['none', null, /^A token is asked for\. .*http:\/\/<job>:<token>@gateway/],
    ['an empty one', '', /no token of ours/],
    ['a wrong one', 'hush', /no token of ours/],
    ['one that was cut', good.slice(0, -9), /^The password begins like a job token, but .*cut\. /],
    ['a forged one', `${good.slice(0, -4)}hush`, another],
    ['one of a key that is gone', good.replace('.k1.', '.hush.'), /^No key of this gateway.* signed this/],
    [
      'an expired one',
      mintJobToken({ job, expiresAtMs: nowMs - hourAgo }, key),
      /^The token of job "42" expired at 2025-12-31T23:00:00\.000Z\. /,
    ],
    ['an expired one, again', mintJobToken({ job, expiresAtMs: nowMs }, key), another],
  ]
  for (const [name, password, detail] of rows) {
    const refusing = () => (password === null ? readPassword(null, passwords) : read(password))
    const error = t.throws(refusing, { code: 'proxy_auth_required', status: 407 }, name) as Error & {
      fields?: { detail: string }
    }
    t.match(error.fields?.detail, detail, name)
    for (const part of (password ?? '').split('.').filter((part) => part.length > 3))
      t.notOk(error.message.includes(part), `${name}: ${part}`)
  }
  t.throws(() => read(good, { tokens }), { message: /no token of ours/ }, 'where there are no keys')
})
