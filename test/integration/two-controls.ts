// Two control processes on one PostgreSQL and one Redis: whoever is asked, there is one history.

import { Redis } from 'ioredis'
import t from 'tap'
import { adminSend } from '../fixtures/admin-client.ts'
import { startFleet, startRole } from '../fixtures/fleet.ts'
import { until } from '../fixtures/until.ts'
import { makeKeys } from '../../src/store/redis/keys.ts'

const writers = 20
const rulesPerWriter = 5
const repetitions = 50

type Entry = {
  readonly version: number
  readonly actor: string
  readonly steps: readonly { readonly kind: string }[]
}

const fleet = await startFleet(t)
const loud = { env: { ...fleet.env, LOG_LEVEL: 'info' } }
const [first, second] = [await startRole(t, loud, 'control'), await startRole(t, loud, 'control')]
const controls = [first, second]
const ledger = async () => (await adminSend(second, 'GET', '/v1/ledger?limit=1000')).body.items as Entry[]
const versionNow = async () => (await ledger())[0]!.version

/** Versions that a control has said it has published, in the order in which it did. */
function publishedBy(control: (typeof controls)[number]): number[] {
  const lines = control
    .output()
    .split('\n')
    .filter((line) => line.includes('"snapshot published"'))
  return lines.map((line) => (JSON.parse(line) as { version: number }).version)
}

t.test('20 writers of rules at once: no version is missing, and the chain holds', async (t) => {
  const redis = new Redis(fleet.env.REDIS_URL!)
  t.teardown(() => redis.disconnect())
  const keys = makeKeys('main')
  const seen: number[] = []
  const watching = { on: true }
  const watch = (async () => {
    while (watching.on) seen.push(Number(await redis.hget(keys.fleet, 'version')))
  })()

  const before = await versionNow()
  const write = async (writer: number) => {
    const control = controls[writer % 2]!
    for (let count = 0; count < rulesPerWriter; count++) {
      const rule = {
        kind: 'deny',
        type: `type-${writer}`,
        upstreams: { ids: [fleet.upstreamIds[count % 3]] },
      }
      const added = await adminSend(control, 'POST', '/v1/restrictions', {
        body: { ...rule, id: `r-${writer}-${count}` },
      })
      if (added.status !== 201) throw new Error(JSON.stringify(added.body))
      if (count % 2 === 0) continue
      const removed = await adminSend(
        controls[(writer + 1) % 2]!,
        'DELETE',
        `/v1/restrictions/r-${writer}-${count}`,
      )
      if (removed.status !== 200) throw new Error(JSON.stringify(removed.body))
    }
  }
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))

  const changes = writers * (rulesPerWriter + Math.floor(rulesPerWriter / 2))
  const entries = await ledger()
  t.equal(entries.length, before + changes)
  t.same(
    entries.map(({ version }) => version).reverse(),
    Array.from(entries, (_, index) => index + 1),
    'no gap',
  )
  t.match((await adminSend(first, 'GET', '/v1/ledger/verify')).body, { ok: true, version: before + changes })

  const standing = async () => Number(await redis.hget(keys.fleet, 'version'))
  await until('the last version is published', async () => (await standing()) === before + changes)
  watching.on = false
  await watch
  t.same(
    seen,
    seen.toSorted((a, b) => a - b),
    'no older version ever stood in the place of a newer one',
  )
  for (const control of controls) {
    const published = publishedBy(control)
    t.same(
      published,
      published.toSorted((a, b) => a - b),
      'each control publishes in order',
    )
  }
  const snapshot = JSON.parse((await redis.hget(keys.fleet, 'snapshot'))!) as {
    restrictions: { id: string }[]
  }
  const { items } = (await adminSend(first, 'GET', '/v1/restrictions?limit=1000')).body
  t.same(
    snapshot.restrictions.map(({ id }) => id),
    items.map(({ id }: { id: string }) => id),
    'what is published is what stands',
  )
  t.equal(items.length, writers * Math.ceil(rulesPerWriter / 2))
})

t.test('a request repeated 50 times at once with one key, at both controls, acts once', async (t) => {
  const rows: [name: string, method: string, path: string, body: unknown, status: number][] = [
    [
      'a rule',
      'POST',
      '/v1/restrictions',
      { kind: 'deny', type: 'once', upstreams: { ids: [fleet.upstreamIds[0]] } },
      201,
    ],
    ['a machine', 'POST', '/v1/upstreams', { address: '127.0.0.1:9' }, 201],
    ['a quarantine', 'POST', `/v1/upstreams/${fleet.upstreamIds[0]}/quarantine`, undefined, 200],
  ]
  for (const [name, method, path, body, status] of rows) {
    const key = `key-${name.replaceAll(' ', '-')}`
    const before = await versionNow()
    const answers = await Promise.all(
      Array.from({ length: repetitions }, (_, index) =>
        adminSend(controls[index % 2]!, method, path, { key, ...(body === undefined ? {} : { body }) }),
      ),
    )
    const acted = answers.filter(
      (answer) => answer.status === status && !answer.headers.has('idempotency-replayed'),
    )
    t.equal(acted.length, 1, `${name}: one acted`)
    const others = answers.filter((answer) => answer !== acted[0])
    t.ok(
      others.every((answer) => {
        const replayed = answer.status === status && answer.headers.has('idempotency-replayed')
        return replayed || answer.body.code === 'idempotency_in_flight'
      }),
      'the others were told so, or to wait',
    )
    t.equal(await versionNow(), before + 1, 'and the fleet changed once')
    const again = await adminSend(first, method, path, { key, ...(body === undefined ? {} : { body }) })
    t.match(again, { status, body: acted[0]!.body }, 'later it is answered the same')
    t.equal(again.headers.get('location'), acted[0]!.headers.get('location'))
    const other = await adminSend(second, method, `${path}?reason=another`, {
      key,
      ...(body === undefined ? {} : { body }),
    })
    t.match(other, { status: 422, body: { code: 'idempotency_mismatch' } }, 'and another request is refused')
  }
})
