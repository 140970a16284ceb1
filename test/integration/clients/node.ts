// Programs that people use, as they are: what they send is what the gateway must understand.

import t from 'tap'
import { checkClients } from '../../fixtures/clients/check.ts'
import { onNode } from '../../fixtures/clients/table.ts'

t.test('clients on Node', (t) => checkClients(t, onNode))
