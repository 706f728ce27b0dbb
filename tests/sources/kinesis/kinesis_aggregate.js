// Packs user records as the Kinesis Producer Library does, with awslabs' own aggregator.
//
// kinesis_aggregate.js MODULES: takes a JSON list of {key, data (Base64), hash} from standard input, prints one Base64 record.
const [modules] = process.argv.slice(2)
const { RecordAggregator } = require(`${modules}/aws-kinesis-agg`)

const records = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const aggregator = new RecordAggregator()
for (const { key, data, hash } of records) {
  const record = { partitionKey: key, data: Buffer.from(data, 'base64') }
  if (hash) record.explicitHashKey = hash
  aggregator.addUserRecord(record)
}
process.stdout.write(aggregator.build().data.toString('base64'))
