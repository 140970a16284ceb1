// The ledger: who changed what in the fleet, and why. Nobody can change it, here neither.

import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { ControlError } from '../../errors.ts'
import type { Ledger } from '../../store/records.ts'
import { id, version } from '../grammar.ts'
import { listOf, reading } from '../operation.ts'
import { pageQuery, presentPage, readPage } from '../paging.ts'
import { presentLedgerEntry } from '../present-ledger.ts'
import { closed } from '../shapes.ts'

const tag = 'ledger'
const listQuery = { ...pageQuery, about: Type.Optional(id) }
const listQueryShape = closed(listQuery)

export function addLedger(app: FastifyInstance, ledger: Ledger): void {
  app.get<{ Querystring: Static<typeof listQueryShape> }>(
    '/v1/ledger',
    {
      schema: reading({
        tag,
        summary: 'Changes of the fleet, newest first; `about` one upstream or restriction',
        query: listQuery,
        answer: listOf('LedgerEntry'),
      }),
    },
    async ({ query }) =>
      presentPage(await ledger.list({ ...readPage(query), about: query.about ?? null }), presentLedgerEntry),
  )

  app.get(
    '/v1/ledger/verify',
    { schema: reading({ tag, summary: 'Whether the chain of hashes is whole', answer: 'LedgerCheck' }) },
    () => ledger.verify(),
  )

  app.get<{ Params: { readonly version: string } }>(
    '/v1/ledger/:version',
    {
      schema: reading({
        tag,
        summary: 'The change that made this version',
        params: { version },
        answer: 'LedgerEntry',
        refusals: [404],
      }),
    },
    async ({ params: { version } }) => {
      const entry = await ledger.read(Number(version))
      if (entry) return presentLedgerEntry(entry)
      throw new ControlError('not_found', `The ledger has no version ${version}.`)
    },
  )
}
