// With real servers: test/store/postgres/pg.ts. Which SQLSTATE means what, on both adapters: test/fixtures/db-contract.ts.

import pg from 'pg'
import t from 'tap'
import { ControlError } from '../../../src/errors.ts'
import {
  connectionFailure,
  hideSecrets,
  isLostRace,
  statementFailure,
} from '../../../src/store/postgres/failure.ts'

function sqlError(code: string, message = 'on purpose'): pg.DatabaseError {
  return Object.assign(new pg.DatabaseError(message, 0, 'error'), { code })
}

function socketError(code: string): Error {
  return Object.assign(new Error(`connect ${code} 10.0.0.1:5432`), { code })
}

const hide = hideSecrets('postgres://lane:p%40ss@db/lanes')

t.test('an operator is told what is wrong, and no more', (t) => {
  const rows: readonly (readonly [unknown, RegExp])[] = [
    [socketError('ECONNREFUSED'), /nothing listens there/],
    [socketError('ENOTFOUND'), /name does not resolve/],
    [socketError('EPIPE'), /the connection broke/],
    [socketError('ETHING'), /it answered ETHING/],
    [sqlError('28P01'), /user name or password/],
    [sqlError('3D000'), /no such database/],
    [sqlError('53300'), /no connection left/],
    [sqlError('53999'), /short of something/],
    [sqlError('08006'), /the connection broke/],
    [sqlError('08P01'), /the connection was ended, by the server or by a pooler/],
    [sqlError('57P03'), /starting up/],
    [sqlError('25006'), /read-only/],
    [new Error('Connection terminated unexpectedly'), /does not answer in time, or the connection broke/],
    ['not even an error', /does not answer in time/],
  ]
  for (const [error, detail] of rows) {
    const told = connectionFailure(error, hide)
    t.equal(told.code, 'database_unavailable')
    t.match(told.detail, detail)
    t.notMatch(told.detail, /10\.0\.0\.1|on purpose/)
  }
  t.end()
})

t.test('what was translated stays so', (t) => {
  const error = new ControlError('database_unavailable', 'told already')
  t.equal(connectionFailure(error, hide), error)
  t.equal(statementFailure(error, hide), error)
  t.end()
})

t.test('errors of the caller, and SQL errors that mean something, stay as they are', (t) => {
  const errors = [new TypeError('a value'), sqlError('23505'), sqlError('40001'), 'text']
  for (const error of errors) t.equal(statementFailure(error, hide), error)
  t.end()
})

t.test('a lost race is one of the server', (t) => {
  for (const code of ['40001', '40P01', '55P03']) t.ok(isLostRace(sqlError(code)))
  for (const error of [sqlError('40003'), sqlError('23505'), socketError('40001'), null])
    t.notOk(isLostRace(error))
  t.end()
})

t.test('a password is shown in neither of its spellings', (t) => {
  const { cause } = connectionFailure(sqlError('28P01', 'p@ss and p%40ss are wrong'), hide)
  t.equal((cause as Error).message, '*** and *** are wrong')
  t.equal(hideSecrets('postgres://db/lanes?password=abc')('abc'), '***')
  t.equal(hideSecrets('postgres://lane:100%@db/lanes')('100% sure'), '*** sure')
  t.equal(hideSecrets('postgres://db/lanes')('nothing to hide'), 'nothing to hide')
  t.end()
})
