// dicomweb-client (npm) against the service: node dicomweb_client.js ROOT FILE...
// Stores the files, searches, retrieves, and prints what it saw as one JSON object.
'use strict';
const fs = require('fs');
global.XMLHttpRequest = require('xhr2');
const { api } = require('dicomweb-client');

const [root, ...files] = process.argv.slice(2);
const toBuffer = (file) => {
  const bytes = fs.readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
};
const hex = (buffer) =>
  require('crypto').createHash('sha256').update(Buffer.from(buffer)).digest('hex');

async function main() {
  const client = new api.DICOMwebClient({ url: root, singlepart: 'none' });
  const seen = {};
  // the client's own header for a store is none; the service wants to know what is accepted
  client.headers = { Accept: 'application/dicom+json' };
  const stored = await client.storeInstances({ datasets: files.map(toBuffer) });
  seen.stored = JSON.parse(typeof stored === 'string' ? stored : Buffer.from(stored).toString());
  client.headers = {};

  seen.studies = await client.searchForStudies({ queryParams: { PatientID: 'ID1' } });
  const studyInstanceUID = seen.studies[0]['0020000D'].Value[0];
  seen.series = await client.searchForSeries({ studyInstanceUID });
  seen.instances = await client.searchForInstances({ studyInstanceUID });
  seen.metadata = await client.retrieveStudyMetadata({ studyInstanceUID });

  // Several instances can only be had as stored, and this version of the client takes no media type
  // for a whole study: its own header is joined with this one, and `*` wins.
  client.headers = { Accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' };
  const study = await client.retrieveStudy({ studyInstanceUID });
  client.headers = {};
  seen.study = study.map(hex);
  const first = seen.metadata[0];
  const ids = {
    studyInstanceUID,
    seriesInstanceUID: first['0020000E'].Value[0],
    sopInstanceUID: first['00080018'].Value[0],
  };
  seen.instance = hex(await client.retrieveInstance(ids));
  const frames = await client.retrieveInstanceFrames({ ...ids, frameNumbers: [1] });
  seen.frame = hex(frames[0]);
  seen.instanceMetadata = await client.retrieveInstanceMetadata(ids);
  process.stdout.write(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error && error.message, error && error.status, error && error.response);
  process.exit(1);
});
