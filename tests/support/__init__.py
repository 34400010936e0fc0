"""What the tests of the running program share: the server, requests, DICOM files, other programs."""
