import t from 'tap'
import type { Api, Change } from '../../src/cli/api.ts'
import { askEach, tellFailures, type Ask } from '../../src/cli/ask-each.ts'
import { ApiError, type Failure } from '../../src/cli/failure.ts'

const common = { url: 'http://x', hasToken: false, unknownUnder: null }
const refused = (status: number, code: string): Failure => {
  const problem = { type: 'x', title: 'Title', status, code, detail: 'Detail.' }
  return { ...common, kind: 'refused', status, retryAfterS: null, problem }
}
const broken: Failure = {
  ...common,
  kind: 'unreachable',
  cause: 'ECONNRESET',
  wasSent: true,
  unknownUnder: 'k.2',
}

const by = { key: 'k', actor: 'alice', reason: null }

/** Answers each request with the next of these. */
function setUp(...script: readonly (string | Failure)[]) {
  const asked: Change[] = []
  const api = {
    change: async (change: Change) => {
      const answer = script[asked.length]!
      asked.push(change)
      if (typeof answer !== 'string') throw new ApiError(answer)
      return { id: answer }
    },
  } as Pick<Api, 'change'>
  const asks = script.map((_, index): Ask => ({
    name: `n${index + 1}`,
    method: 'POST',
    path: `/v1/${index + 1}`,
  }))
  const heard: string[] = []
  const ask = (goesOn: boolean) =>
    askEach<{ id: string }>(api, asks, by, { goesOn, answered: ({ id }) => heard.push(id) })
  return { ask, asked, heard }
}

function told(answers: Parameters<typeof tellFailures>[0], json = false) {
  const said: string[] = []
  const code = tellFailures(answers, { flags: { json }, io: { err: (lines) => said.push(lines) } })
  return { code, said: said.join('\n') }
}

t.test('one is asked for with the key of the command, several each with one made from it', async (t) => {
  const one = setUp('a')
  t.match(await one.ask(true), { answers: [{ id: 'a' }], failed: [], untried: [] })
  t.match(one.asked, [{ key: 'k', actor: 'alice', path: '/v1/1', knownBy: 'id' }])
  const many = setUp('a', 'b', 'c')
  await many.ask(true)
  t.strictSame(
    many.asked.map(({ key }) => key),
    ['k.1', 'k.2', 'k.3'],
  )
  t.strictSame(many.heard, ['a', 'b', 'c'])
})

t.test('where but one was asked for, its failure is that of the command', async (t) => {
  await t.rejects(setUp(broken).ask(true), ApiError)
})

t.test('a refusal of one leaves the others, unless the next would be refused too', async (t) => {
  for (const failure of [refused(404, 'not_found'), refused(409, 'conflict'), refused(400, 'bad_request')]) {
    const each = await setUp('a', failure, 'c').ask(true)
    t.match(each, { answers: [{ id: 'a' }, { id: 'c' }], failed: [{ name: 'n2', failure }], untried: [] })
    const first = await setUp('a', failure, 'c').ask(false)
    t.match(first, { answers: [{ id: 'a' }], failed: [{ name: 'n2' }], untried: ['n3'] })
  }
})

t.test('where nobody answers, or nobody is let in, the others are not tried', async (t) => {
  for (const failure of [
    broken,
    refused(401, 'unauthorized'),
    refused(409, 'idempotency_in_flight'),
    refused(503, 'database_unavailable'),
  ]) {
    const { ask, asked } = setUp('a', failure, 'c', 'd')
    t.match(await ask(true), { answers: [{ id: 'a' }], failed: [{ name: 'n2' }], untried: ['n3', 'n4'] })
    t.equal(asked.length, 2)
  }
})

t.test('what failed is told, with what was done and how to do the rest', async (t) => {
  t.strictSame(told(await setUp('a', 'b').ask(true)), { code: 0, said: '' })
  const gone = told(await setUp('a', refused(404, 'not_found'), 'c').ask(true))
  t.strictSame(gone, {
    code: 1,
    said: ['n2: Title (404 not_found). Detail.', 'Accepted: a, c.'].join('\n'),
  })
  const lost = told(await setUp('a', broken, 'c').ask(true))
  t.match(lost.said, /^n2: The connection .* broke \(ECONNRESET\)\. Whether it was done is not known\.$/m)
  t.match(
    lost.said,
    /^Accepted: a\. Not tried: n3\.\nTo ask for the rest and nothing twice, .*\n {2}--idempotency-key k$/m,
  )
  t.notMatch(lost.said, 'k.2', 'its own key is of no use: the command makes it again')
  t.match(told(await setUp(refused(404, 'x'), refused(404, 'x')).ask(true)).said, /^Accepted: none\.$/m)
})

t.test('programs are told in problem documents, one a line', async (t) => {
  const { code, said } = told(await setUp(refused(404, 'a'), refused(409, 'b')).ask(true), true)
  t.equal(code, 1)
  t.match(
    said.split('\n').map((line) => JSON.parse(line)),
    [
      { code: 'a', request: 'n1' },
      { code: 'b', request: 'n2' },
    ],
  )
})
