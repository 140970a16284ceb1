import t from 'tap'
import type { TSchema } from 'typebox'
import { Check } from 'typebox/schema'
import * as grammar from '../../src/admin/grammar.ts'

type Row = { schema: TSchema; taken: readonly unknown[]; refused: readonly unknown[] }

const rows: { [name: string]: Row } = {
  id: {
    schema: grammar.id,
    taken: ['a', 'local-1a2b', 'A.b_c-9', 'x'.repeat(128)],
    refused: ['', '-a', '.a', 'a b', 'a/b', 'a:b', 'ä', 'a\n', 'x'.repeat(129), 1, null],
  },
  jobId: {
    schema: grammar.jobId,
    taken: ['a', 'job.~:@+-_9', 'x'.repeat(128)],
    refused: ['', ':a', 'a b', 'a/b', 'a,b', 'x'.repeat(129)],
  },
  laneWord: {
    schema: grammar.laneWord,
    taken: ['*', 'payment', 'bank-a', 'x'.repeat(64)],
    refused: ['', '**', 'a*', 'a:b', '-a', 'x'.repeat(65), 'a\n'],
  },
  actor: {
    schema: grammar.actor,
    taken: ['alice', 'a.b_c@d+e-f', '@', 'x'.repeat(64)],
    refused: ['', 'a b', 'a:b', 'ä', 'a, b', 'x'.repeat(65)],
  },
  reason: {
    schema: grammar.reason,
    taken: ['a', 'gesperrt für bank-a 🚧', ' ', '🚧'.repeat(500)],
    refused: ['', 'a\0b', 'a\nb', 'a\ud800b', 'x'.repeat(501)],
  },
  idempotencyKey: {
    schema: grammar.idempotencyKey,
    taken: [
      'k',
      '8e03978e-40d5-43e8-bc93-6894a57f9324',
      '"k"',
      String.raw`"a\"b\\c"`,
      'a"b',
      '!~',
      'x'.repeat(255),
      `"${'x'.repeat(255)}"`,
    ],
    refused: ['', '""', '"', '"k', 'a b', 'a, b', 'ä', String.raw`"a\b"`, '"a"b"', 'x'.repeat(256)],
  },
  zone: {
    schema: grammar.zone,
    taken: ['europe-west1-b', 'a'],
    refused: ['', 'zones/a', 'a b', '-a', 'x'.repeat(65)],
  },
  deadlineMs: {
    schema: grammar.deadlineMs,
    taken: [0, 1, 900_000, 604_800_000],
    refused: [-1, 1.5, 604_800_001, '1', null],
  },
  deadlineMsWord: {
    schema: grammar.deadlineMsWord,
    taken: ['0', '1', '99999999', '100000000', '599999999', '603999999', '604799999', '604800000'],
    refused: [
      '',
      '-1',
      '01',
      '1.5',
      '1e3',
      '604800001',
      '604810000',
      '605000000',
      '700000000',
      '1000000000',
      1,
    ],
  },
  limit: {
    schema: grammar.limit,
    taken: ['1', '100', '999', '1000'],
    refused: ['0', '-1', '01', '1001', '1e3', '', ' 1', '1.0', 1],
  },
  version: { schema: grammar.version, taken: ['1', '42'], refused: ['0', '-1', '01', 'x', '1'.repeat(16)] },
  after: { schema: grammar.after, taken: ['a', '42'], refused: ['', 'a b', 'a\0', 'x'.repeat(513)] },
  yesOrNo: { schema: grammar.yesOrNo, taken: ['true', 'false'], refused: ['', '1', 'yes', 'TRUE', true] },
  credentials: {
    schema: grammar.credentials,
    taken: ['tinyproxy', 'a@b', 'x'.repeat(64)],
    refused: ['', 'user:password', 'a b', 'x'.repeat(65)],
  },
  labels: {
    schema: grammar.labels({ min: 0 }),
    taken: [{}, { pool: 'a' }, { ['x'.repeat(64)]: 'y'.repeat(256), 'land/ä': '' }, many(32)],
    refused: [{ pool: 1 }, { pool: null }, { '': 'a' }, { ['x'.repeat(65)]: 'a' }, { a: 'y'.repeat(257) }]
      .concat([{ a: '\0' }, { '\0': 'a' }, { a: '\ud800' }] as never[])
      .concat([many(33), [], 'pool=a', null] as never[]),
  },
  'labels of a selector': {
    schema: grammar.labels({ min: 1 }),
    taken: [{ pool: 'a' }],
    refused: [{}],
  },
  nullable: {
    schema: grammar.nullable(grammar.name),
    taken: [null, 'a'],
    refused: ['', 1, 'a b', 'ä', 'x'.repeat(65)],
  },
}

function many(count: number): { [label: string]: string } {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`label-${n}`, 'a']))
}

for (const [name, { schema, taken, refused }] of Object.entries(rows)) {
  t.test(name, async (t) => {
    for (const value of taken) t.ok(Check(schema, value), `takes ${JSON.stringify(value).slice(0, 60)}`)
    for (const value of refused) t.notOk(Check(schema, value), `not ${JSON.stringify(value).slice(0, 60)}`)
  })
}

t.test('every description reads on after "must be"', async (t) => {
  t.match(grammar.oneOf('a', 'b', 'c'), { description: 'a, b or c' })
  t.match(grammar.oneOf('a'), { description: 'a' })
  t.match(grammar.nullable(grammar.name), { description: /; or null$/ })
})
