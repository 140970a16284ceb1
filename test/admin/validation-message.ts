import fastify from 'fastify'
import t from 'tap'
import Type, { type TSchema } from 'typebox'
import { makeAdmin } from '../fixtures/admin.ts'
import { makeControl } from '../fixtures/admin-control.ts'
import { isControlError } from '../../src/errors.ts'
import { validationError } from '../../src/admin/validation-message.ts'

t.test('a refusal names the field and what is allowed', async (t) => {
  const { app } = makeAdmin(t, { control: makeControl().control })
  const post = (url: string, payload: object, headers = {}) => ({
    method: 'POST' as const,
    url,
    payload,
    headers,
  })
  const upstream = { address: '10.0.0.5:8888' }
  const rule = { kind: 'deny', upstreams: { ids: ['up-1'] } }
  const rows: [request: { url: string; [more: string]: unknown }, detail: string][] = [
    [{ url: '/v1/upstreams?limit=0' }, 'Query parameter "limit" must be a whole number from 1 to 1000.'],
    [
      { url: '/v1/upstreams?limit=2&limit=3' },
      'Query parameter "limit" must be a whole number from 1 to 1000.',
    ],
    [
      { url: '/v1/upstreams?colour=red' },
      'Query parameter "colour" is not known here; known are limit, after, state.',
    ],
    [{ url: '/v1/ledger/verify?x=1' }, 'Query parameter "x" is not known here; there are none.'],
    [{ url: '/v1/upstreams/-a' }, 'Path parameter "id" must be an id: 1 to 128 letters, digits and . _ -.'],
    [
      post('/v1/upstreams', upstream, { 'x-actor': 'a b' }),
      'Header "x-actor" must be 1 to 64 letters, digits and . _ @ + -.',
    ],
    [
      post('/v1/upstreams', { ...upstream, lables: {} }),
      'Field "lables" is not known here; known are address, name, egressIp, labels, credentials, zone.',
    ],
    [
      post('/v1/upstreams', { ...upstream, labels: { pool: 1 } }),
      'Field "labels.pool" must be a text of at most 256 characters.',
    ],
    [
      post('/v1/upstreams', { ...upstream, labels: { '': 'a' } }),
      'A name in "labels" is not allowed; it must be 1 to 64 characters long.',
    ],
    [
      post('/v1/upstreams', { ...upstream, name: 7 }),
      'Field "name" must be 1 to 64 letters, digits and . _ -; or null.',
    ],
    [post('/v1/upstreams', []), 'The body must be a JSON object.'],
    [{ url: '/v1/upstreams', method: 'POST' }, 'The body must be a JSON object.'],
    [post('/v1/restrictions', { ...rule, kind: 'Deny' }), 'Field "kind" must be exclusive, deny or targets.'],
    [
      post('/v1/restrictions', { ...rule, upstreams: { ids: [] } }),
      'Field "upstreams" must be {"ids": [1 to 1000 upstream ids]} or {"labels": {1 to 32 labels}}.',
    ],
    [
      post('/v1/restrictions', { kind: 'deny' }),
      'Field "upstreams" must be {"ids": [1 to 1000 upstream ids]} or {"labels": {1 to 32 labels}} with kind deny.',
    ],
    [
      post('/v1/upstreams/up-1/drain', { deadlineMs: -1 }),
      'Field "deadlineMs" must be milliseconds, a whole number from 0 to 604800000 (a week).',
    ],
    [
      post('/v1/upstreams/up-1/drain', { deadline: 1 }),
      'Field "deadline" is not known here; known are deadlineMs.',
    ],
    [post('/v1/restrictions?force=yes', rule), 'Query parameter "force" must be true or false.'],
  ]
  for (const [request, detail] of rows) {
    const answer = await app.inject(request as never)
    t.equal(answer.statusCode, 400, detail)
    t.match(answer.json(), { code: 'bad_request', detail })
    t.equal(answer.json().detail, detail)
  }
})

t.test('a value is never repeated, and a name only in a form that can be shown', async (t) => {
  const { app } = makeAdmin(t, { control: makeControl().control })
  const payload = { address: 'h:1', credentials: 'hunter2:hunter2', ['x\n"'.repeat(50)]: 1 }
  for (const body of [payload, { address: 'h:1', credentials: payload.credentials }]) {
    const { detail } = (await app.inject({ method: 'POST', url: '/v1/upstreams', payload: body })).json()
    t.notMatch(detail, /hunter2|\n/)
    t.ok(detail.length < 700, detail)
  }
})

t.test('a schema that says nothing of itself', async (t) => {
  const rows: [schema: TSchema, value: unknown, detail: string][] = [
    [Type.Integer(), 'x', 'Field "it" must be of type integer.'],
    [Type.Integer({ minimum: 3 }), 2, 'Field "it" must be as the OpenAPI document says.'],
    [Type.Object({ 'a/b~c': Type.Null() }), { 'a/b~c': 1 }, 'Field "it.a/b~c" must be of type null.'],
    [Type.Object({ a: Type.Null() }), {}, 'Field "it.a" is missing.'],
  ]
  for (const [schema, it, detail] of rows) {
    const app = fastify({
      ajv: { customOptions: { coerceTypes: false, verbose: true } },
      schemaErrorFormatter: validationError,
    })
    t.teardown(() => app.close())
    app.post('/', { schema: { body: Type.Object({ it: schema }) } }, async () => 'ok')
    app.setErrorHandler((error, _, reply) => reply.send(isControlError(error) ? error.detail : 'other'))
    t.equal((await app.inject({ method: 'POST', url: '/', payload: { it } })).body, detail)
  }
})
