import t from 'tap'
import { inWords } from '../../../src/cli/commands/explain.ts'
import { runHere } from '../../fixtures/command-line.ts'
import { json, startScriptedApi } from '../../fixtures/scripted-api.ts'

const lane = { type: 'payment', institution: 'bank-a', version: 7 }
const refused = [
  { upstream: 'up-2', reason: 'kept_for_others', restriction: 'cl-only' },
  { upstream: 'up-10', reason: 'quarantined', restriction: null },
]

t.test('who serves, in order, and why not the others', (t) => {
  t.equal(
    inWords({ ...lane, eligible: ['up-3', 'up-1'], refused }),
    [
      'Lane payment/bank-a at version 7',
      '',
      'Eligible, in this order (2):',
      '  up-3',
      '  up-1',
      '',
      'Refused (2):',
      '  UPSTREAM  WHY                          RESTRICTION',
      '  up-2      is exclusive to other lanes  cl-only',
      '  up-10     is quarantined by a person   -',
    ].join('\n'),
  )
  t.equal(
    inWords({ type: '*', institution: '*', version: 1, eligible: [], refused: [] }),
    'Lane */* at version 1\n\nNo upstream may serve it; a job gets 503 no_upstream.',
  )
  t.end()
})

t.test('what the lane may reach, where a rule says so', (t) => {
  const targets = { allowed: ['bank.example', '*.bank.example'], reported: null, restrictions: ['a', 'b'] }
  const explained = { ...lane, eligible: ['up-1'], refused: [] }
  const head = 'Lane payment/bank-a at version 7\n\nEligible, in this order (1):\n  up-1'
  t.equal(
    inWords({ ...explained, targets }),
    `${head}\n\nMay reach (a, b), and nothing else:\n  bank.example\n  *.bank.example`,
  )
  t.equal(
    inWords({ ...explained, targets: { allowed: null, reported: ['x.y'], restrictions: ['soon'] } }),
    `${head}\n\nExpected to reach (soon), anything else is only reported:\n  x.y`,
  )
  t.equal(inWords({ ...explained, targets: { allowed: null, reported: null, restrictions: [] } }), head)
  t.equal(inWords(explained), head, 'an older server does not say')
  t.end()
})

t.test('it asks for the lane that was named', async (t) => {
  const { url, asked } = await startScriptedApi(t, json({ ...lane, eligible: ['up-1'], refused: [] }))
  const { out } = await runHere(['explain', '--type', 'payment', '--institution', 'bank-a', '--url', url])
  await runHere(['explain', '--url', url])
  t.same(
    asked.map(({ path }) => path),
    ['/v1/explain?type=payment&institution=bank-a', '/v1/explain'],
  )
  t.match(out, /^Lane payment\/bank-a at version 7\n/)
})
