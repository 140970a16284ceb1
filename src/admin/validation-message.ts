// What was wrong with a request, in a sentence that names the field and what is allowed. Pure.
// Never repeats a value: it may be a secret in the wrong place. Names of fields are repeated, shortened.

import type { FastifySchemaValidationError } from 'fastify/types/schema.js'
import { ControlError } from '../errors.ts'
import { quoted } from '../routing/quoted.ts'

type Schema = { readonly description?: string; readonly properties?: { readonly [name: string]: Schema } }

/** Ajv's, with `verbose`. */
type Problem = FastifySchemaValidationError & {
  readonly parentSchema?: Schema
  readonly propertyName?: string
}

const places: { readonly [part: string]: string } = {
  body: 'Field',
  querystring: 'Query parameter',
  headers: 'Header',
  params: 'Path parameter',
}

/** @param part  body, querystring, headers or params */
export function validationError(problems: readonly Problem[], part: string): ControlError {
  // Of a choice between shapes, every shape says its own; the choice as a whole comes last.
  const found = problems.find(({ keyword }) => keyword === 'anyOf') ?? problems[0]!
  return new ControlError('bad_request', sentence(found, places[part] ?? 'Field'))
}

function sentence(
  { keyword, params, instancePath, parentSchema, propertyName }: Problem,
  place: string,
): string {
  const path = instancePath.slice(1).split('/').map(unescaped).join('.')
  const wanted = parentSchema?.description
  if (keyword === 'additionalProperties') {
    const known = Object.keys(parentSchema?.properties ?? {}).join(', ')
    const unknown = below(path, String(params['additionalProperty']))
    return `${place} ${quoted(unknown)} is not known here; ${known === '' ? 'there are none' : `known are ${known}`}.`
  }
  if (keyword === 'required') {
    const missing = String(params['missingProperty'])
    const said = parentSchema?.properties?.[missing]?.description
    return `${place} ${quoted(below(path, missing))} is missing${said === undefined ? '' : `; it must be ${said}`}.`
  }
  if (propertyName !== undefined)
    return `A name in ${quoted(path)} is not allowed; it must be ${wanted ?? 'shorter'}.`
  if (path === '') return 'The body must be a JSON object.'
  return `${place} ${quoted(path)} must be ${wanted ?? wantedType(keyword, params)}.`
}

function wantedType(keyword: string, params: { readonly [name: string]: unknown }): string {
  return keyword === 'type' ? `of type ${String(params['type'])}` : 'as the OpenAPI document says'
}

function below(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

/** RFC 6901. */
function unescaped(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~')
}
