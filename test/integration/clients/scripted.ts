// Programs that people use, as they are: what they send is what the gateway must understand.

import t from 'tap'
import { checkClients } from '../../fixtures/clients/check.ts'
import { scripted } from '../../fixtures/clients/table.ts'

t.test('clients of the shell and of scripts', (t) => checkClients(t, scripted))
