// dcmjs (npm) reads what the service returns: node dcmjs_read.js ROOT INSTANCE_PATH
// Compares its own reading of the file with the service's metadata; prints the differences.
'use strict';
const dcmjs = require('dcmjs');

const [root, path] = process.argv.slice(2);

async function main() {
  const file = await fetch(root + path, {
    headers: { Accept: 'application/dicom; transfer-syntax=*' },
  });
  const metadata = await fetch(`${root}${path}/metadata`, {
    headers: { Accept: 'application/dicom+json' },
  });
  const [fromService] = await metadata.json();
  const data = dcmjs.data.DicomMessage.readFile(await file.arrayBuffer());
  const { DicomMetaDictionary } = dcmjs.data;
  const left = DicomMetaDictionary.naturalizeDataset(data.dict);
  const right = DicomMetaDictionary.naturalizeDataset(fromService);
  delete left.PixelData;
  for (const dataset of [left, right]) {
    delete dataset._vrMap;
  }
  const plain = (value) => JSON.stringify(value, Object.keys(Object(value)).sort());
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])].sort();
  const text = (value) => JSON.stringify(value);
  const differences = names.filter((name) => text(left[name]) !== text(right[name]));
  process.stdout.write(
    JSON.stringify({
      names,
      differences: differences.map((name) => [name, text(left[name]), text(right[name])]),
      name: plain(right.PatientName),
    }),
  );
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
