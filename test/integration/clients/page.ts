// docs/clients.md: every line of it is tried, by a row of the table or here.

import t from 'tap'
import { startWorld } from '../../fixtures/clients/check.ts'
import { readPage } from '../../fixtures/clients/page.ts'
import { clients } from '../../fixtures/clients/table.ts'

const curl = { program: 'curl', probe: 'curl --version' }
const triedHere = ['job id alone', 'release']

t.test('the page has a row for each client that is run, and lines for each', async (t) => {
  const { environment, recipes, asRun } = readPage()
  const names = clients.map(({ name }) => name)
  t.strictSame([...asRun.keys()].sort(), [...names].sort(), 'the table')
  t.strictSame([...recipes.keys()].sort(), [...names, ...triedHere].sort(), 'the lines')
  for (const [name, { commands }] of recipes) t.not(commands, '', name)
  t.match(environment, 'https_proxy')
})

t.test('a job id alone will do, and the job may be released', async (t) => {
  const { road, prepare } = await startWorld(t)
  const [go, release] = [
    await prepare({ name: 'job id alone', ...curl }),
    await prepare({ name: 'release', ...curl }),
  ]
  if (!go || !release) return
  const { seen, output } = await go('alone')
  t.equal(seen.length, 1, output)
  t.match(await road.job('alone'), { id: 'alone', type: null, institution: null }, 'it is known')
  t.match(await release('alone'), { code: 0, output: '', refused: 0 }, 'it is released')
  t.match(await road.job('alone'), { code: 'not_found' }, 'it is over')
})
