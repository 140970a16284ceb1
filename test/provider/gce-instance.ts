import t from 'tap'
import {
  draftOf,
  gceLabels,
  hasAddresses,
  instanceOf,
  isGceName,
  templatePath,
  type GceNaming,
} from '../../src/provider/gce-instance.ts'

const naming: GceNaming = {
  fleet: 'main',
  zones: ['z-a', 'z-b', 'z-c'],
  namePrefix: 'lanekeeper',
  labels: { pool: 'payments' },
  credentials: 'proxies',
}
const reading = { fleet: 'main', port: 8888, address: 'internal', credentials: 'proxies' } as const
const request = { standing: [], labels: null, zone: null, suffix: '1a2b3c4d' }

t.test('a draft names machine and zone', async (t) => {
  t.strictSame(draftOf(request, naming), {
    id: 'lanekeeper-main-1a2b3c4d',
    name: 'lanekeeper-main-1a2b3c4d',
    zone: 'z-a',
    labels: { pool: 'payments' },
    credentials: 'proxies',
  })
})

t.test('the zone is the one asked for, or the first with the fewest machines', async (t) => {
  const standing = (...zones: (string | null)[]) =>
    zones.map((zone, index) => ({ name: `vm-${index}`, zone }))
  const cases = [
    [standing('z-a'), null, 'z-b'],
    [standing('z-a', 'z-b'), null, 'z-c'],
    [standing('z-b', 'z-a', 'z-c', 'z-a'), null, 'z-b'],
    [standing('elsewhere', null), null, 'z-a'],
    [standing('z-c', 'z-c'), 'z-c', 'z-c'],
  ] as const
  for (const [machines, zone, expected] of cases)
    t.equal(draftOf({ ...request, standing: machines, zone }, naming).zone, expected)
  t.throws(() => draftOf({ ...request, zone: 'z-d' }, naming), {
    code: 'refused',
    message: /"z-d".*z-a, z-b, z-c/,
  })
})

t.test('labels that Compute Engine cannot keep are refused', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 62 }, (_, index) => [`label-${index}`, 'x']))
  const labelled = (labels: { [key: string]: string }) => () => draftOf({ ...request, labels }, naming)
  const right = [{ pool: 'statements' }, { a: '' }, { 'a_b-9': '0_-9' }, { a: 'x'.repeat(63) }]
  for (const labels of right) t.match(labelled(labels)(), { labels })
  t.match(
    labelled({ pool: 'statements' })().labels,
    { pool: 'statements' },
    'asked ones beat those of the settings',
  )
  const wrong: (readonly [labels: { [key: string]: string }, text: RegExp])[] = [
    [{ Pool: 'a' }, /"Pool: a" must be of a-z/],
    [{ pool: 'Payments' }, /"pool: Payments"/],
    [{ pool: 'a.b' }, /"pool: a.b"/],
    [{ '9a': 'a' }, /"9a: a"/],
    [{ [`a${'x'.repeat(63)}`]: 'a' }, /at most 63/],
    [{ a: 'x'.repeat(64) }, /at most 63/],
    [{ 'lanekeeper-fleet': 'other' }, /is ours/],
    [many, /they are 63, and 62 is the most/],
  ]
  for (const [labels, message] of wrong) t.throws(labelled(labels), { code: 'refused', message })
  t.throws(() => draftOf({ ...request, labels: { a: 'É' } }, naming), { code: 'refused' })
})

t.test('the longest prefix and fleet that the settings take make a name', async (t) => {
  const longest = { ...naming, namePrefix: `a${'b'.repeat(19)}`, fleet: 'c'.repeat(32) }
  t.ok(isGceName(draftOf(request, longest).name))
  t.throws(() => draftOf(request, { ...naming, namePrefix: 'Lane' }), {
    code: 'refused',
    message: /Lane-main/,
  })
})

t.test('names are those of Compute Engine', async (t) => {
  for (const name of ['a', 'a1', 'lanekeeper-main-1a2b3c4d', `a${'b'.repeat(62)}`])
    t.ok(isGceName(name), name)
  for (const name of ['', '1a', '-a', 'a-', 'A', 'a.b', '..', '../x', 'a b', `a${'b'.repeat(63)}`])
    t.notOk(isGceName(name), name)
})

t.test('a machine bears our two labels beside its own', async (t) => {
  t.strictSame(gceLabels({ id: 'lanekeeper-main-1a2b3c4d', labels: { pool: 'a' } }, 'main'), {
    pool: 'a',
    'lanekeeper-fleet': 'main',
    'lanekeeper-upstream': 'lanekeeper-main-1a2b3c4d',
  })
})

t.test('a template is named, or pointed at', async (t) => {
  t.equal(templatePath('proxy-3'), 'global/instanceTemplates/proxy-3')
  for (const path of ['global/instanceTemplates/a', 'projects/p/regions/r/instanceTemplates/a'])
    t.equal(templatePath(path), path)
})

const whole = {
  id: '7512345678901234567',
  name: 'lanekeeper-main-1a2b3c4d',
  status: 'RUNNING',
  creationTimestamp: '2026-03-01T02:03:04.567-08:00',
  labels: { pool: 'a', 'lanekeeper-fleet': 'main', 'lanekeeper-upstream': 'lanekeeper-main-1a2b3c4d' },
  networkInterfaces: [
    { networkIP: '10.0.0.7', accessConfigs: [{ natIP: '203.0.113.9' }] },
    { networkIP: '10.9.9.9', accessConfigs: [{ natIP: '203.0.113.99' }] },
  ],
}

t.test('a machine in our words', async (t) => {
  const expected = {
    id: 'lanekeeper-main-1a2b3c4d',
    name: 'lanekeeper-main-1a2b3c4d',
    host: '10.0.0.7',
    port: 8888,
    egressIp: '203.0.113.9',
    labels: { pool: 'a' },
    credentials: 'proxies',
    zone: 'z-a',
    incarnation: '7512345678901234567',
    status: 'running',
    createdAtMs: Date.UTC(2026, 2, 1, 10, 3, 4, 567),
  }
  t.strictSame(instanceOf(whole, 'z-a', reading), expected)
  t.strictSame(instanceOf(whole, 'z-a', { ...reading, address: 'external' }), {
    ...expected,
    host: '203.0.113.9',
  })
  t.strictSame(
    instanceOf({ ...whole, labels: { 'lanekeeper-upstream': 'other' } }, 'z-a', reading).id,
    'other',
  )
})

t.test('what is not there is none', async (t) => {
  t.match(instanceOf({}, 'z-a', reading), {
    id: '',
    host: '',
    egressIp: null,
    incarnation: null,
    status: 'starting',
    createdAtMs: null,
  })
  for (const networkInterfaces of [
    null,
    [],
    [{}],
    [{ networkIP: '', accessConfigs: [] }],
    [{ accessConfigs: null }],
  ])
    t.match(instanceOf({ ...whole, networkInterfaces }, 'z-a', reading), { host: '', egressIp: null })
  t.match(instanceOf({ ...whole, labels: null, creationTimestamp: 'x' }, 'z-a', reading), {
    id: whole.name,
    labels: {},
    createdAtMs: null,
  })
})

t.test('each state of a machine has one word of ours', async (t) => {
  const words = {
    starting: ['PENDING', 'PROVISIONING', 'STAGING', 'REPAIRING', 'SOMETHING_NEW', ''],
    running: ['RUNNING'],
    ending: ['PENDING_STOP', 'STOPPING', 'SUSPENDING', 'DEPROVISIONING'],
    stopped: ['STOPPED', 'SUSPENDED', 'TERMINATED'],
  }
  for (const [word, statuses] of Object.entries(words))
    for (const status of statuses)
      t.equal(instanceOf({ ...whole, status }, 'z-a', reading).status, word, status)
})

t.test('addresses are there when all that will come are', async (t) => {
  const cases = [
    [[{ networkIP: '10.0.0.7', accessConfigs: [{ natIP: '203.0.113.9' }] }], true],
    [[{ networkIP: '10.0.0.7', accessConfigs: [{}] }], false],
    [[{ networkIP: '10.0.0.7' }], true],
    [[{ accessConfigs: [{ natIP: '203.0.113.9' }] }], false],
    [[], false],
  ] as const
  for (const [networkInterfaces, expected] of cases)
    t.equal(hasAddresses({ networkInterfaces }), expected, JSON.stringify(networkInterfaces))
})
