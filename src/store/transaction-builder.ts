/** For what is loaded beside the service (`node --import`) to watch its transactions: kysely itself is inside the bundle. */
export { TransactionBuilder } from 'kysely';
