import { copyFile, mkdir, mkdtemp, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SecureContextOptions } from 'node:tls'
import t, { type Test } from 'tap'
import { makeCertificate } from '../../src/gateway/certificate.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { pathOf, pemOf, type Pem, type PemKey } from '../fixtures/tls/files.ts'

const now = Date.parse('2026-11-20T12:00:00Z')

type Given = {
  readonly certificate?: Pem
  readonly key?: PemKey
  readonly clientCa?: Pem | null
  readonly nowMs?: number
}

async function setUp(
  t: Test,
  { certificate = 'gateway.pem', key = 'gateway.key', clientCa = null, nowMs = now }: Given = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'lanekeeper-tls-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const files = {
    certificate: join(folder, 'tls.crt'),
    key: join(folder, 'tls.key'),
    clientCa: clientCa && join(folder, 'ca.crt'),
  }
  await copyFile(pathOf(certificate), files.certificate)
  await copyFile(pathOf(key), files.key)
  if (files.clientCa) await copyFile(pathOf(clientCa!), files.clientCa)
  const used: SecureContextOptions[] = []
  const facts = recordFacts()
  const its = makeCertificate({
    files,
    use: (context) => used.push(context),
    events: facts.events,
    wallClock: () => nowMs,
  })
  const shown = () => used.map(({ cert }) => String(cert))
  return { folder, files, used, shown, facts, ...its }
}

t.test('at start', async (t) => {
  t.test('what the files hold is used', async (t) => {
    const { load, used, facts } = await setUp(t, { clientCa: 'authority.pem' })
    await load()
    t.match(used, [{ minVersion: 'TLSv1.2', ca: [pemOf('authority.pem').trim()] }])
    t.equal(String(used[0]?.cert), pemOf('gateway.pem'))
    t.equal(String(used[0]?.key), pemOf('gateway.key'))
    t.strictSame(facts.names(), [])
  })

  t.test('all authorities of a list are taken', async (t) => {
    const { load, used, files } = await setUp(t, { clientCa: 'authority.pem' })
    await writeFile(files.clientCa!, `# ours\n${pemOf('authority.pem')}\n# theirs\n${pemOf('stranger.pem')}`)
    await load()
    t.equal(used[0]?.ca?.length, 2)
  })

  const cases: { name: string; spoil: (files: { [name: string]: string }) => Promise<void>; says: RegExp }[] =
    [
      {
        name: 'no certificate file',
        spoil: ({ certificate }) => unlink(certificate!),
        says: /^gateway\.tls\.certificate: .*tls\.crt cannot be read \(ENOENT\)$/,
      },
      {
        name: 'no key file',
        spoil: ({ key }) => unlink(key!),
        says: /^gateway\.tls\.key: .*tls\.key cannot be read \(ENOENT\)$/,
      },
      {
        name: 'no list of authorities',
        spoil: ({ clientCa }) => unlink(clientCa!),
        says: /^gateway\.tls\.clientCa: .*ca\.crt cannot be read \(ENOENT\)$/,
      },
      {
        name: 'an empty certificate',
        spoil: ({ certificate }) => writeFile(certificate!, ''),
        says: /^gateway\.tls\.certificate: .*tls\.crt holds no certificate in PEM$/,
      },
      {
        name: 'the key in place of the certificate',
        spoil: ({ certificate }) => copyFile(pathOf('gateway.key'), certificate!),
        says: /^gateway\.tls\.certificate: .*tls\.crt holds no certificate in PEM$/,
      },
      {
        name: 'half a certificate',
        spoil: ({ certificate }) => writeFile(certificate!, pemOf('gateway.pem').slice(0, 300)),
        says: /^gateway\.tls\.certificate: .*tls\.crt holds no certificate in PEM$/,
      },
      {
        name: 'half a chain',
        spoil: ({ certificate }) =>
          writeFile(certificate!, `${pemOf('gateway.pem')}${pemOf('authority.pem').slice(0, 300)}`),
        says: /^gateway\.tls\.certificate: .*tls\.crt cannot be used \(ERR_OSSL_PEM_BAD_END_LINE\)$/,
      },
      {
        name: 'the certificate in place of the key',
        spoil: ({ key }) => copyFile(pathOf('gateway.pem'), key!),
        says: /^gateway\.tls\.key: .*tls\.key holds no private key in PEM, or one with a passphrase$/,
      },
      {
        name: "another certificate's key",
        spoil: ({ key }) => copyFile(pathOf('renewed.key'), key!),
        says: /^gateway\.tls\.key: .*tls\.key is not the key of the certificate in .*tls\.crt$/,
      },
      {
        name: 'an empty list of authorities',
        spoil: ({ clientCa }) => writeFile(clientCa!, '\n'),
        says: /^gateway\.tls\.clientCa: .*ca\.crt holds no certificate in PEM$/,
      },
      {
        name: 'a list with a broken authority',
        spoil: ({ clientCa }) =>
          writeFile(
            clientCa!,
            `${pemOf('authority.pem')}-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`,
          ),
        says: /^gateway\.tls\.clientCa: .*ca\.crt holds no certificate in PEM$/,
      },
    ]
  for (const { name, spoil, says } of cases)
    t.test(`${name} is an error that names the setting and the file`, async (t) => {
      const { load, used, files } = await setUp(t, { clientCa: 'authority.pem' })
      await spoil(files as { [name: string]: string })
      const error: Error = await load().then(
        () => t.fail('was taken'),
        (error) => error,
      )
      t.match(error.message, says)
      t.notMatch(error.message, /PRIVATE|MIGH/)
      t.strictSame(used, [])
    })

  const ends: { name: string; given: Given; validTo: string | null }[] = [
    {
      name: 'one that has expired is used and told',
      given: { certificate: 'expired.pem' },
      validTo: '2021-01-01T00:00:00.000Z',
    },
    {
      name: 'one that ends in 13 days is told',
      given: { nowMs: Date.parse('2119-12-19') },
      validTo: '2120-01-01T00:00:00.000Z',
    },
    { name: 'one that ends in 15 days is not', given: { nowMs: Date.parse('2119-12-17') }, validTo: null },
  ]
  for (const { name, given, validTo } of ends)
    t.test(name, async (t) => {
      const { load, used, facts } = await setUp(t, given)
      await load()
      t.equal(used.length, 1)
      t.match(facts.of('tls_ending'), validTo === null ? [] : [{ subject: /^CN=/, validTo }])
    })
})

t.test('while it runs', async (t) => {
  t.test('files that hold the same are left alone', async (t) => {
    const { load, refresh, used, facts, files } = await setUp(t)
    await load()
    await refresh()
    await utimes(files.certificate, 1, 1)
    await refresh()
    t.equal(used.length, 1)
    t.strictSame(facts.names(), [])
  })

  t.test('a new pair is used, whatever its times say', async (t) => {
    const { load, refresh, shown, facts, files } = await setUp(t)
    await utimes(files.certificate, 1, 1)
    await load()
    await copyFile(pathOf('renewed.key'), files.key)
    await copyFile(pathOf('renewed.pem'), files.certificate)
    await utimes(files.certificate, 1, 1)
    await refresh()
    await refresh()
    t.strictSame(shown(), [pemOf('gateway.pem'), pemOf('renewed.pem')])
    t.strictSame(facts.of('tls_reloaded'), [{ subject: 'CN=renewed', validTo: '2120-01-01T00:00:00.000Z' }])
  })

  t.test('half of a renewal is told once and survived; the other half makes it whole', async (t) => {
    const { load, refresh, shown, facts, files } = await setUp(t)
    await load()
    await copyFile(pathOf('renewed.pem'), files.certificate)
    await refresh()
    await refresh()
    t.match(facts.of('tls_reload_failed'), [{ detail: /tls\.key is not the key of/ }])
    t.equal(shown().length, 1)
    await copyFile(pathOf('renewed.key'), files.key)
    await refresh()
    t.equal(facts.of('tls_reload_failed').length, 1)
    t.strictSame(shown(), [pemOf('gateway.pem'), pemOf('renewed.pem')])
  })

  t.test('each new fault is told, and so is that all is well again', async (t) => {
    const { load, refresh, facts, files } = await setUp(t)
    await load()
    await unlink(files.key)
    await refresh()
    await refresh()
    await writeFile(files.key, 'half')
    await refresh()
    await copyFile(pathOf('gateway.key'), files.key)
    await refresh()
    t.match(facts.of('tls_reload_failed'), [
      { detail: /cannot be read \(ENOENT\)/ },
      { detail: /holds no private key/ },
    ])
    t.equal(facts.names().at(-1), 'tls_reloaded')
  })

  t.test('another list of authorities is used', async (t) => {
    const { load, refresh, used, files } = await setUp(t, { clientCa: 'authority.pem' })
    await load()
    await copyFile(pathOf('stranger.pem'), files.clientCa!)
    await refresh()
    t.strictSame(used.at(-1)?.ca, [pemOf('stranger.pem').trim()])
  })

  t.test('links that are swapped are followed, as Kubernetes and certbot do it', async (t) => {
    const { folder, files, load, refresh, shown } = await setUp(t)
    for (const name of ['gateway', 'renewed'] as const) {
      await mkdir(join(folder, name))
      await copyFile(pathOf(`${name}.pem`), join(folder, name, 'tls.crt'))
      await copyFile(pathOf(`${name}.key`), join(folder, name, 'tls.key'))
    }
    await symlink('gateway', join(folder, 'current'))
    for (const path of [files.certificate, files.key]) {
      await unlink(path)
      await symlink(path.replace(folder, 'current'), path)
    }
    await load()
    await symlink('renewed', join(folder, 'next'))
    await rename(join(folder, 'next'), join(folder, 'current'))
    await refresh()
    t.strictSame(shown(), [pemOf('gateway.pem'), pemOf('renewed.pem')])
  })

  t.test('a renewal that ends soon is told too', async (t) => {
    const { load, refresh, facts, files } = await setUp(t)
    await load()
    await copyFile(pathOf('expired.pem'), files.certificate)
    await refresh()
    t.match(facts.names(), ['tls_ending', 'tls_reloaded'])
  })
})
