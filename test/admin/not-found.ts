import t from 'tap'
import { makeAdmin } from '../fixtures/admin.ts'
import { makeControl } from '../fixtures/admin-control.ts'

t.test('another method of a path that is there', async (t) => {
  const { app } = makeAdmin(t, { control: makeControl().control })
  const rows: [method: 'PATCH' | 'PUT' | 'DELETE' | 'POST' | 'OPTIONS', url: string, allow: string][] = [
    ['PATCH', '/v1/upstreams/up-1?x=1', 'DELETE, GET, HEAD'],
    ['PUT', '/v1/upstreams', 'GET, HEAD, POST'],
    ['DELETE', '/v1/upstreams/up-1/quarantine', 'POST'],
    ['POST', '/v1/ledger/7', 'GET, HEAD'],
    ['POST', '/healthz', 'GET, HEAD'],
    ['OPTIONS', '/v1/upstreams', 'GET, HEAD, POST'],
  ]
  for (const [method, url, allow] of rows) {
    const answer = await app.inject({ method, url })
    t.equal(answer.statusCode, 405, `${method} ${url}`)
    t.equal(answer.headers.allow, allow)
    t.match(answer.json(), { code: 'bad_request', status: 405, detail: new RegExp(`not ${method}`) })
  }
})

t.test('no path of ours', async (t) => {
  const { app } = makeAdmin(t, { control: makeControl().control })
  for (const url of ['/', '/v1', '/v1/', '/v1/upstreams/a/b', '/v2/upstreams']) {
    const answer = await app.inject({ url })
    t.equal(answer.statusCode, 404, url)
    t.match(answer.json(), { code: 'not_found' })
  }
})

t.test('a gateway alone says who to ask', async (t) => {
  const { app } = makeAdmin(t)
  for (const [method, url] of [
    ['GET', '/v1/upstreams'],
    ['POST', '/v1/upstreams'],
    ['GET', '/v1/explain'],
    ['DELETE', '/v1/jobs/job-1'],
    ['GET', '/v1/jobs/job-1/reports'],
    ['GET', '/v1/nothing'],
  ] as const) {
    const answer = await app.inject({ method, url })
    t.equal(answer.statusCode, 404, `${method} ${url}`)
    t.match(answer.json(), {
      code: 'not_found',
      detail: 'This process is a gateway only; ask a control process.',
    })
  }
  t.match((await app.inject({ url: '/v1/jobs/job-1' })).json(), { detail: /No job "job-1" is pinned/ })
})
