import { join } from 'node:path'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { loadGceClients } from '../../src/provider/gce-clients.ts'
import { makeGceProvider } from '../../src/provider/gce.ts'
import { isProviderError } from '../../src/provider/provider.ts'
import { gceSettings } from '../fixtures/gce-under-test.ts'

const settings = gceSettings({ url: '', project: 'p', template: 'lane', port: 8888 }, { endpoint: null })
const variable = 'GOOGLE_APPLICATION_CREDENTIALS'

t.test('credentials that cannot be read are told, without a word of what they say', async (t) => {
  const folder = t.testdir({ 'broken.json': 'SECRET is no JSON', 'strange.json': '{"type": "SECRET"}' })
  for (const file of ['absent.json', 'broken.json', 'strange.json']) {
    setVariable(t, join(folder, file))
    const provider = makeGceProvider(settings)
    const error: unknown = await provider.list().catch((reason: unknown) => reason)
    t.ok(isProviderError(error, 'unavailable'), file)
    t.match(String(error), /credentials cannot be found or read.*GOOGLE_APPLICATION_CREDENTIALS/, file)
    t.notMatch(inspect(error, { depth: 9, showHidden: true }), /SECRET/, file)
    await provider.close()
  }
})

t.test('what failed to load is loaded by the next call', async (t) => {
  const key = { type: 'authorized_user', client_id: 'a', client_secret: 'b', refresh_token: 'c' }
  const folder = t.testdir({ 'key.json': JSON.stringify(key) })
  setVariable(t, join(folder, 'absent.json'))
  await t.rejects(loadGceClients(null), { code: 'unavailable' })
  setVariable(t, join(folder, 'key.json'))
  t.type((await loadGceClients(null)).insert, 'function')

  const provider = makeGceProvider(settings)
  t.teardown(() => provider.close())
  setVariable(t, join(folder, 'absent.json'))
  await t.rejects(provider.list(), { message: /found or read \(/ })
  setVariable(t, folder)
  await t.rejects(provider.list(), { message: /found or read;/ })
})

function setVariable(t: Test, value: string): void {
  const before = process.env[variable]
  t.teardown(() => {
    if (before === undefined) delete process.env[variable]
    else process.env[variable] = before
  })
  process.env[variable] = value
}
