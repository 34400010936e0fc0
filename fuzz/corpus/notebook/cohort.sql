-- %% [markdown]
-- # A cohort: from a question to the files
--
-- Which images answer the question, and where are their files? Change the parameters, or give others when you run it:
--
-- ```
-- dicomlake notebook run cohort -p modality=MR -p from_date=2020-01-01
-- ```

-- %% [parameters]
-- -- a modality, and the first and last study date that count
-- modality = 'CT'
-- from_date = 1990-01-01
-- to_date = 2099-12-31

-- %% [markdown]
-- ## How many are there?

-- %%
SELECT count(*) AS instances,
       count(DISTINCT seriesInstanceUid) AS series,
       count(DISTINCT studyInstanceUid) AS studies,
       count(DISTINCT patientId) AS patients
  FROM instance
 WHERE modality = {{modality}}
   AND dicom_date(dicom_value(metadata, 'StudyDate')) BETWEEN {{from_date}} AND {{to_date}};

-- %%
-- %%chart bar x=body_part y=instances title='What they show'
SELECT coalesce(nullif(trim(dicom_value(metadata, 'BodyPartExamined')), ''), '(none)') AS body_part,
       count(*) AS instances
  FROM instance
 WHERE modality = {{modality}}
   AND dicom_date(dicom_value(metadata, 'StudyDate')) BETWEEN {{from_date}} AND {{to_date}}
 GROUP BY 1
 ORDER BY instances DESC, 1
 LIMIT 20;

-- %% [markdown]
-- ## Where are the files?
--
-- `filePath` joins a row and its file: below the shortcut to the DICOM files, under Files. `file_url` makes it a URL that
-- programs open.

-- %%
SELECT sopInstanceUid, filePath, file_url(filePath) AS url
  FROM instance
 WHERE modality = {{modality}}
   AND dicom_date(dicom_value(metadata, 'StudyDate')) BETWEEN {{from_date}} AND {{to_date}}
 ORDER BY sopInstanceUid
 LIMIT 10;

-- %% [markdown]
-- ## Keep it
--
-- A cohort keeps a list of instances under a name, with the statement and the versions of the tables that it was made from. It
-- stays as it is when the archive changes; saving it again makes version 2.
--
-- ```
-- dicomlake cohort save ct-heads "SELECT sopInstanceUid, seriesInstanceUid, studyInstanceUid, filePath
--   FROM instance WHERE modality = 'CT'"
-- dicomlake cohort get ct-heads --to ./ct-heads
-- ```
--
-- The second command copies the files, and writes `manifest.json` with the SHA-256 of each.
