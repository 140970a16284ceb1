import t from 'tap'
import { nearest } from '../../src/cli/nearest.ts'

const known = ['upstreams', 'restrictions', 'explain', 'jobs', 'ledger', 'list', 'show', 'start']

t.test('the name that was meant is found, and none is made up', (t) => {
  const cases: { [word: string]: string | null } = {
    list: 'list',
    lst: 'list',
    lsit: 'list',
    lists: 'list',
    upstream: 'upstreams',
    restrictoins: 'restrictions',
    strat: 'start',
    job: 'jobs',
    ledgre: 'ledger',
    remove: null,
    x: null,
    '': null,
  }
  for (const [word, wanted] of Object.entries(cases)) t.equal(nearest(word, known), wanted, word)
  t.equal(nearest('list', []), null)
  t.end()
})
