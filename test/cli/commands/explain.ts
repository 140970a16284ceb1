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
