// The OpenAPI document, made of the routes' own schemas, at /openapi.json.

import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { components } from './components.ts'

/** Before any route: the document holds the routes that are added after it. */
export function addOpenapi(app: FastifyInstance): void {
  for (const [$id, schema] of Object.entries(components)) app.addSchema({ ...schema, $id })
  app.register(swagger, {
    convertConstToEnum: false,
    transformObject: (made) =>
      'openapiObject' in made ? letBodiesOut(made.openapiObject) : made.swaggerObject,
    refResolver: { buildLocalReference: (schema) => String(schema.$id) },
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Lanekeeper admin API',
        version: '1',
        description:
          'Every failure is a problem document (RFC 9457) with a stable code. Fields and query parameters that ' +
          'nobody knows are refused, not dropped. Every change takes Idempotency-Key: repeated with the same key, the ' +
          'same request gets the same answer and nothing is done twice. Keys are kept for a day. POST /v1/tokens changes ' +
          'nothing, so it takes none. ADMIN_READ_TOKEN may GET and HEAD only; anything else with it is 403 forbidden.',
      },
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description:
              'ADMIN_TOKEN, where one is configured; to look, ADMIN_READ_TOKEN will do, where one is configured',
          },
        },
      },
      security: [{ bearer: [] }],
    },
  })
}

export function addOpenapiRoute(app: FastifyInstance): void {
  const answer = { type: 'object', additionalProperties: true, description: 'OpenAPI 3.1' }
  app.get(
    '/openapi.json',
    { schema: { tags: ['health'], summary: 'This document', security: [], response: { 200: answer } } },
    async () => app.swagger(),
  )
}

type Body = {
  required?: boolean
  readonly content: { readonly [type: string]: { readonly schema?: { readonly type?: unknown } } }
}

/** The plugin says of every body that it must be there; one that may be null may be left out. */
function letBodiesOut<T extends { readonly paths?: object }>(document: T): T {
  const operations = Object.values(document.paths ?? {}).flatMap((path) => Object.values(path as object))
  for (const { requestBody } of operations as { readonly requestBody?: Body }[]) {
    const type = requestBody?.content['application/json']?.schema?.type
    if (requestBody && Array.isArray(type) && type.includes('null')) requestBody.required = false
  }
  return document
}
