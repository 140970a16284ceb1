import t from 'tap'
import { commands } from '../../../src/cli/command-table.ts'
import { commandHelp } from '../../../src/cli/help.ts'
import { runHere } from '../../fixtures/command-line.ts'
import { json, problem, startScriptedApi } from '../../fixtures/scripted-api.ts'

const made = {
  token: 'lk1.k1.e30.c2ln',
  expiresAt: '2026-01-02T03:04:05.000Z',
  keyId: 'k1',
  proxyUser: 'job=42,type=payment,institution=bank-a',
}

t.test('the token alone is printed, so that a shell can take it', async (t) => {
  const { url, asked } = await startScriptedApi(t, json(made, 201))
  const ran = await runHere(
    ['token', '--job', '42', '--type', 'payment', '--institution', 'bank-a', '--ttl', '2h'],
    { ADMIN_URL: url, ADMIN_TOKEN: 's3cret' },
  )
  t.strictSame(ran, { code: 0, out: 'lk1.k1.e30.c2ln\n', err: '' })
  t.match(asked, [
    {
      method: 'POST',
      path: '/v1/tokens',
      headers: { authorization: 'Bearer s3cret', 'idempotency-key': undefined, 'x-actor': undefined },
    },
  ])
  t.strictSame(asked[0]!.body, { job: '42', type: 'payment', institution: 'bank-a', ttlMs: 7_200_000 })
})

t.test('what is left out is left to the API, and --json shows all', async (t) => {
  const { url, asked } = await startScriptedApi(t, json(made, 201))
  const { out } = await runHere(['token', '--job', 'a:1', '--json', '--url', url])
  t.strictSame(JSON.parse(out), made)
  t.strictSame(asked[0]!.body, { job: 'a:1' })
})

t.test('where none is made, nothing is printed where a token would be', async (t) => {
  for (const answer of [problem(409, 'conflict'), problem(403, 'forbidden'), json({ other: 1 })]) {
    const { url, asked } = await startScriptedApi(t, answer)
    const { code, out, err } = await runHere(['token', '--job', '42', '--url', url])
    t.strictSame([code, out], [1, ''])
    t.match(err, /./)
    t.equal(asked.length, 1)
  }
})

t.test('times are read as everywhere', async (t) => {
  for (const ttl of ['0', '31d', '999ms', 'soon', '-1h'])
    await t.rejects(runHere(['token', '--job', '42', `--ttl=${ttl}`]), { message: /from 1s to 30d/ }, ttl)
  await t.rejects(runHere(['token']), { message: 'Missing: --job.' })
})

t.test('its help says where the token goes', async (t) => {
  const help = commandHelp(commands.find(({ name }) => name === 'token')!)
  t.match(help, /HTTPS_PROXY=http:\/\/job=42:\$TOKEN@gateway:3128/)
})
