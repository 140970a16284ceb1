// The OpenAPI document: whole, and what the routes really do. Every answer in the tests of the admin API is compared
// with it too (test/fixtures/admin.ts).

import t from 'tap'
import { differences, makeAdmin, type Document, type Operation } from '../fixtures/admin.ts'
import { makeControl } from '../fixtures/admin-control.ts'

const routes: { url: string; method: string }[] = []
const { app } = makeAdmin(t, {
  token: 's3cret',
  control: makeControl().control,
})
app.addHook('onRoute', ({ url, method }) => {
  for (const one of [method].flat()) if (one !== 'HEAD') routes.push({ url, method: one })
})

async function readDocument(): Promise<Document> {
  const answer = await app.inject({ url: '/openapi.json' })
  t.equal(answer.statusCode, 200, 'without a token')
  return answer.json()
}

function operationsOf({ paths }: Document): { path: string; method: string; operation: Operation }[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
}

t.test('every route stands in it, and nothing else', async (t) => {
  const operations = operationsOf(await readDocument())
  t.ok(routes.length >= 20, 'they were found')
  t.strictSame(
    operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`).sort(),
    routes.map(({ url, method }) => `${method} ${url.replace(/:(\w+)/g, '{$1}')}`).sort(),
  )
})

t.test('each operation is said whole', async (t) => {
  const document = await readDocument()
  t.equal(document.openapi, '3.1.0')
  for (const { path, method, operation } of operationsOf(document)) {
    const name = `${method} ${path}`
    t.ok(operation.summary && operation.tags?.length === 1, `${name} has a summary and a tag`)
    t.strictSame(
      (operation.parameters ?? []).filter((one) => one.in === 'path').map((one) => one.name),
      [...path.matchAll(/\{(\w+)\}/g)].map(([, param]) => param),
      `${name} names its path parameters`,
    )
    for (const [status, { description, content }] of Object.entries(operation.responses)) {
      t.ok(description && description !== 'Default Response' && content, `${name} ${status} is described`)
      if (Number(status) >= 400 && path.startsWith('/v1/'))
        t.strictSame(
          content,
          { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
          `${name} ${status} is a problem document`,
        )
    }
  }
})

t.test('what is under /v1 asks for the token, the rest does not', async (t) => {
  const document = await readDocument()
  t.match(document, {
    security: [{ bearer: [] }],
    components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
  })
  for (const { path, operation } of operationsOf(document)) {
    t.strictSame(operation.security, path.startsWith('/v1/') ? undefined : [], path)
    t.equal('401' in operation.responses, path.startsWith('/v1/'), path)
  }
})

t.test('every change takes a key, an actor and a reason', async (t) => {
  const posts = operationsOf(await readDocument()).filter(({ method }) => method !== 'get')
  const changes = posts.filter(({ path }) => path !== '/v1/tokens')
  t.ok(changes.length >= 9)
  for (const { path, method, operation } of changes) {
    const names = operation.parameters?.map((one) => `${one.in} ${one.name}`) ?? []
    for (const name of ['header Idempotency-Key', 'header X-Actor', 'query reason'])
      t.ok(names.includes(name), `${method} ${path}: ${name}`)
    for (const status of ['400', '409', '422', '503']) t.ok(status in operation.responses, status)
  }
})

t.test('what changes nothing takes none of them, and says so', async (t) => {
  const { paths } = await readDocument()
  const {
    parameters = [],
    description,
    responses,
  } = paths['/v1/tokens']!.post! as Operation & {
    readonly description?: string
  }
  t.strictSame(parameters, [])
  t.match(description, /no Idempotency-Key and leaves no row in the ledger/)
  t.strictSame(Object.keys(responses), ['201', '400', '401', '403', '409', '413', '415', '500'])
})

t.test('a body that may be left out is said to be', async (t) => {
  const { paths } = await readDocument()
  for (const path of ['/v1/upstreams/{id}/drain', '/v1/sync'])
    t.equal(paths[path]!.post!.requestBody!.required, false, path)
  t.equal(paths['/v1/upstreams']!.post!.requestBody!.required, true)
})

t.test('what has only begun says where to look on', async (t) => {
  for (const { path, method, operation } of operationsOf(await readDocument())) {
    const begun = operation.responses['202']
    if (begun && !path.endsWith('/report')) t.ok(begun.headers?.Location, `${method} ${path}`)
  }
})

t.test('every reference leads to a schema', async (t) => {
  const document = await readDocument()
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, to]) => to!)
  t.ok(references.length > 20)
  for (const to of new Set(references)) {
    const [, name] = /^#\/components\/schemas\/(\w+)$/.exec(to) ?? []
    t.ok(name !== undefined && name in document.components.schemas, to)
  }
})

t.test('no object leaves open what else may be in it', async (t) => {
  const open: string[] = []
  const visit = (value: unknown, place: string): void => {
    if (typeof value !== 'object' || value === null) return
    const schema = value as { type?: unknown; properties?: unknown; additionalProperties?: unknown }
    if (schema.type === 'object' && (schema.additionalProperties ?? true) === true) open.push(place)
    for (const [key, part] of Object.entries(value)) visit(part, `${place}/${key}`)
  }
  visit(await readDocument(), '')
  t.strictSame(open, ['/paths//openapi.json/get/responses/200/content/application/json/schema'])
})

t.test('an answer that is not as it says is noticed', async (t) => {
  const document = await readDocument()
  const right = { ready: true, missing: [] }
  const compare = (body: object, more: object = {}) =>
    differences(document, {
      path: '/readyz',
      method: 'get',
      status: 200,
      type: 'application/json',
      body: JSON.stringify(body),
      ...more,
    })
  t.equal(compare(right), null)
  t.match(compare({ ...right, more: 1 }), /additional/)
  t.match(compare({ ready: true }), /required/)
  t.match(compare(right, { status: 204 }), /knows no such answer/)
  t.match(compare(right, { type: 'text/html' }), /knows no such answer/)
})
