import t, { type Test } from 'tap'
import { makeUpstreamEdits } from '../../src/control/edit-upstreams.ts'
import { ProviderError, type DraftRequest, type Provider } from '../../src/provider/provider.ts'
import { controlWorlds, operator } from '../fixtures/control-under-test.ts'
import { added, apply } from '../fixtures/records-under-test.ts'

const { openWorld } = await controlWorlds(t)
const given = {
  host: '10.0.0.9',
  port: 8888,
  name: 'proxy',
  egressIp: '203.0.113.9',
  labels: { pool: 'p' },
  credentials: 'vm',
}
const drainMs = 60_000
const kept = { deadlineMs: null, force: false }

/** Makes machines in two zones, and calls the n-th of them `vm-<n>-<suffix>`. */
const maker: Pick<Provider, 'name' | 'zones' | 'draft' | 'place'> = {
  name: 'gce',
  zones: ['zone-a', 'zone-b'],
  place: async () => null,
  draft({ standing, labels, zone, suffix }: DraftRequest) {
    if (zone === 'zone-x') throw new ProviderError('refused', 'zone-x is none of zone-a, zone-b')
    const id = `vm-${standing.length + 1}-${suffix}`
    return { id, name: id, zone: zone ?? 'zone-a', labels: { ...labels }, credentials: 'vm' }
  },
}

async function setUp(t: Test, { probes = true, provider = maker } = {}) {
  const world = await openWorld(t)
  const { fleet, records } = world
  const own = { provider: 'gce', zone: 'zone-a', labels: { pool: 'p' }, addedBy: 'control' } as const
  await apply(records.store, added('up-1', { ...own }), added('up-2', { port: 8889 }))
  let changes = 0
  let suffix = 0
  const edits = makeUpstreamEdits({
    fleet,
    provider,
    settings: { drainMs, probes },
    newSuffix: () => `0000000${(suffix += 1)}`,
    newRequestId: () => `00000000-0000-4000-8000-00000000000${(suffix += 1)}`,
    changed: () => (changes += 1),
  })
  const read = (id: string) => records.store.upstreams.read(id)
  const want = (to: number | null) =>
    apply(records.store, { kind: 'size_wanted', from: null, to, configured: null })
  const wanted = async () => (await fleet.head()).wantedSize
  return { ...world, edits, read, want, wanted, changes: () => changes }
}

t.test('a machine that others made is registered, and waits for its probes', async (t) => {
  const { edits, read, changes, records } = await setUp(t)
  const { version, answer } = await edits.register(given, operator)
  t.match(answer, {
    ...given,
    id: 'proxy-00000001',
    state: 'provisioning',
    provider: 'static',
    addedBy: 'operator',
  })
  t.strictSame(await read('proxy-00000001'), answer)
  t.match(await records.store.ledger.read(version), operator.author)
  t.equal(changes(), 1)
})

t.test('without probes it runs at once; without a name it is called by its id', async (t) => {
  const { edits } = await setUp(t, { probes: false })
  const { answer } = await edits.register({ ...given, name: null }, operator)
  t.match(answer, { state: 'running', id: 'upstream-00000001', name: 'upstream-00000001' })
})

t.test('an address is registered once', async (t) => {
  const { edits } = await setUp(t)
  await edits.register(given, operator)
  await t.rejects(edits.register(given, operator), {
    code: 'conflict',
    detail: /"proxy-00000001" has the address 10.0.0.9:8888/,
  })
})

t.test('a machine is ordered: the row says all that the cloud is told, before it is told', async (t) => {
  const { edits, read } = await setUp(t)
  const { answer } = await edits.create({ labels: { pool: 'q' }, zone: 'zone-b' }, operator)
  t.match(answer, {
    state: 'provisioning',
    host: '',
    zone: 'zone-b',
    labels: { pool: 'q' },
    credentials: 'vm',
    addedBy: 'control',
    requestId: /^[0-9a-f-]{36}$/,
  })
  t.equal(answer.instanceId, answer.id)
  t.strictSame(await read(answer.id), answer)
})

t.test('a zone that is none is refused, and so is a provider that makes nothing', async (t) => {
  const { edits } = await setUp(t)
  await t.rejects(edits.create({ labels: null, zone: 'zone-x' }, operator), {
    code: 'bad_request',
    detail: /none of zone-a, zone-b/,
  })
  const draft = () => {
    throw new ProviderError('no_capacity', 'makes no machines')
  }
  const listed = await setUp(t, { provider: { ...maker, name: 'static', draft } })
  await t.rejects(listed.edits.create({ labels: null, zone: null }, operator), {
    code: 'conflict',
    detail: /makes no machines/,
  })
})

t.test('the wanted size follows: one more, one less, and one more again', async (t) => {
  const { edits, want, wanted } = await setUp(t)
  await want(1)
  const { answer } = await edits.create({ labels: null, zone: null }, operator)
  t.equal(await wanted(), 2)
  await edits.remove('up-1', kept, operator)
  t.equal(await wanted(), 1)
  await edits.remove('up-1', kept, operator)
  t.equal(await wanted(), 1, 'counted once')
  await edits.cancel('up-1', operator)
  t.equal(await wanted(), 2)
  await edits.drain('up-1', { deadlineMs: null }, operator)
  await edits.cancel('up-1', operator)
  t.equal(await wanted(), 2, 'one that was only drained is still kept')
  await edits.remove(answer.id, kept, operator)
  await edits.remove('up-2', kept, operator)
  t.equal(await wanted(), 1, 'a registered machine was never counted')
})

t.test('no size is wanted where none was', async (t) => {
  const { edits, wanted } = await setUp(t)
  await edits.create({ labels: null, zone: null }, operator)
  await edits.remove('up-1', kept, operator)
  t.equal(await wanted(), null)
})

t.test('quarantine and release: once each, and then nothing changes', async (t) => {
  const { edits, read } = await setUp(t)
  const first = await edits.quarantine('up-1', operator)
  t.match(first.answer, { id: 'up-1', quarantined: true, rowVersion: 2 })
  t.strictSame(await read('up-1'), first.answer)
  t.strictSame(await edits.quarantine('up-1', operator), first, 'no new version')
  const released = await edits.release('up-1', operator)
  t.match(released, { version: first.version + 1, answer: { quarantined: false } })
  t.strictSame(await edits.release('up-1', operator), released)
})

t.test(
  'a drain has its deadline from the configuration, or from who asks; asked again, it moves',
  async (t) => {
    const { edits, read } = await setUp(t)
    const { answer, version } = await edits.drain('up-1', { deadlineMs: null }, operator)
    t.match(answer, {
      state: 'draining',
      stateVersion: version,
      drain: { thenDelete: false, by: 'operator' },
    })
    t.equal(answer.drain!.deadlineMs, answer.drain!.sinceMs + drainMs)
    t.strictSame(await read('up-1'), answer)
    const { answer: again } = await edits.drain('up-1', { deadlineMs: 1000 }, operator)
    t.equal(again.drain!.sinceMs, answer.drain!.sinceMs)
    t.ok(again.drain!.deadlineMs < answer.drain!.deadlineMs)
    t.equal(again.stateVersion, version, 'it has been draining since the first')
    t.strictSame(await read('up-1'), again)
  },
)

t.test('a drain that is cancelled leaves nothing behind', async (t) => {
  const { edits, read } = await setUp(t)
  await edits.drain('up-1', { deadlineMs: null }, operator)
  const { answer } = await edits.cancel('up-1', operator)
  t.match(answer, { state: 'running', drain: null })
  t.strictSame(await read('up-1'), answer)
  await t.rejects(edits.cancel('up-1', operator), { code: 'conflict', detail: /not being drained/ })
})

t.test('a deletion drains first; one that is drained already is deleted after it', async (t) => {
  const { edits } = await setUp(t)
  const { answer } = await edits.remove('up-1', kept, operator)
  t.match(answer, { state: 'draining', drain: { thenDelete: true, by: 'operator' } })
  await edits.drain('up-2', { deadlineMs: 5000 }, operator)
  const { answer: second } = await edits.remove('up-2', kept, operator)
  t.match(second, { state: 'draining', drain: { thenDelete: true } })
  t.equal(second.drain!.deadlineMs - second.drain!.sinceMs, 5000, 'its deadline stays')
})

t.test('by force, or where no job can be, the machine goes at once', async (t) => {
  const { edits, read } = await setUp(t)
  const { answer: fresh } = await edits.register(given, operator)
  for (const [id, force] of [
    ['up-1', true],
    [fresh.id, false],
  ] as const) {
    const { answer } = await edits.remove(id, { force, deadlineMs: null }, operator)
    t.match(answer, { state: 'deleting', requestId: /^[0-9a-f-]{36}$/ })
    t.strictSame(await read(id), answer)
    const { answer: again } = await edits.remove(id, { force, deadlineMs: null }, operator)
    t.strictSame(again, answer, 'asked again, it is the same deletion')
    await t.rejects(edits.cancel(id, operator), { code: 'conflict', detail: /cannot be undone/ })
  }
})

t.test('recycled: another is ordered with the same labels, in the same zone, in its place', async (t) => {
  const { edits, read, want, wanted } = await setUp(t)
  await want(1)
  const { answer } = await edits.recycle('up-1', operator)
  t.match(answer, { id: 'up-1', state: 'running', replacedBy: /^vm-2-/ })
  t.strictSame(await read('up-1'), answer)
  t.match(await read(answer.replacedBy!), {
    state: 'provisioning',
    labels: { pool: 'p' },
    zone: 'zone-a',
    addedBy: 'control',
  })
  t.equal(await wanted(), 1)
  t.strictSame((await edits.recycle('up-1', operator)).answer, answer, 'once')
})

t.test('what others made they alone can make anew; and only who runs is recycled', async (t) => {
  const { edits } = await setUp(t)
  await t.rejects(edits.recycle('up-2', operator), { code: 'conflict', detail: /made by others/ })
  await edits.drain('up-1', { deadlineMs: null }, operator)
  await t.rejects(edits.recycle('up-1', operator), { code: 'conflict', detail: /is draining/ })
})

t.test('what is not there, or deleted', async (t) => {
  const { edits, records } = await setUp(t)
  await apply(records.store, { kind: 'upstream_deleted', id: 'up-1', by: 'operator' })
  for (const id of ['nobody', 'up-1']) {
    const refused = { code: 'not_found', detail: new RegExp(`"${id}"`) }
    await t.rejects(edits.quarantine(id, operator), refused)
    await t.rejects(edits.release(id, operator), refused)
    await t.rejects(edits.drain(id, { deadlineMs: null }, operator), refused)
    await t.rejects(edits.cancel(id, operator), refused)
    await t.rejects(edits.recycle(id, operator), refused)
    await t.rejects(edits.remove(id, kept, operator), refused)
  }
})
