import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import { loadGceClients } from '../../src/provider/gce-clients.ts'
import { makeGceProvider } from '../../src/provider/gce.ts'
import { isProviderError } from '../../src/provider/provider.ts'
import { gceSettings } from '../fixtures/gce-under-test.ts'

const variable = 'GOOGLE_APPLICATION_CREDENTIALS'

t.test('credentials that cannot be read are told, without a word of what they say', async (t) => {
  const folder = t.testdir({ 'broken.json': '{"private_key": "SECRET', 'strange.json': '{"type": "SECRET"}' })
  const before = process.env[variable]
  t.teardown(() => {
    if (before === undefined) delete process.env[variable]
    else process.env[variable] = before
  })
  const settings = gceSettings({ url: '', project: 'p', template: 'lane', port: 8888 }, { endpoint: null })
  for (const file of ['absent.json', 'broken.json', 'strange.json']) {
    process.env[variable] = join(folder, file)
    const provider = makeGceProvider(settings)
    const error: unknown = await provider.list().catch((reason: unknown) => reason)
    t.ok(isProviderError(error, 'unavailable'), file)
    t.match(String(error), /credentials cannot be found or read.*GOOGLE_APPLICATION_CREDENTIALS/, file)
    t.notMatch(inspect(error, { depth: 9, showHidden: true }), /SECRET/, file)
    await provider.close()
  }
})

t.test('credentials that can be read by the next call will do', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'key.json')
  const before = process.env[variable]
  t.teardown(() => {
    if (before === undefined) delete process.env[variable]
    else process.env[variable] = before
  })
  process.env[variable] = file
  await t.rejects(loadGceClients(null), { code: 'unavailable' })
  writeFileSync(
    file,
    JSON.stringify({ type: 'authorized_user', client_id: 'a', client_secret: 'b', refresh_token: 'c' }),
  )
  t.type((await loadGceClients(null)).insert, 'function')
})
