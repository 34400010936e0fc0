//! The header of each file to DICOM JSON on one thread, with dicom-rs: the peer of bench/reader.c.
//!
//! Every file is opened from disk each time; reading stops before Pixel Data; elements with a bulk
//! VR at the top level are dropped before the JSON is written, as our reader drops them.
//!
//! Arguments: LIST ROUNDS [PRINT]. LIST names one file a line; with PRINT the JSON of that file (from 0) is
//! printed instead, so that the two readers' answers can be compared.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, OpenFileOptions};
use std::error::Error;
use std::time::Instant;

fn header_json(path: &str) -> Result<String, Box<dyn Error>> {
    let file = OpenFileOptions::new()
        .read_until(tags::PIXEL_DATA)
        .open_file(path)?;
    let mut object: InMemDicomObject = file.into_inner();
    object.retain(|element| {
        !matches!(
            element.vr(),
            VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN
        )
    });
    Ok(dicom_json::to_string(&object)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    if args.len() < 3 {
        return Err("usage: dicom-rs-peer LIST ROUNDS [PRINT]".into());
    }
    let list = std::fs::read_to_string(&args[1])?;
    let paths: Vec<&str> = list.lines().filter(|line| !line.is_empty()).collect();
    if let Some(index) = args.get(3) {
        println!("{}", header_json(paths[index.parse::<usize>()?])?);
        return Ok(());
    }
    let rounds: usize = args[2].parse()?;
    let mut json_bytes = 0usize;
    let start = Instant::now();
    for _ in 0..rounds {
        for path in &paths {
            json_bytes += header_json(path)?.len();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let files = rounds * paths.len();
    println!(
        "{{\"reader\":\"dicom-rs\",\"files\":{},\"seconds\":{:.6},\"files_per_s\":{:.1},\"json_bytes\":{}}}",
        files,
        seconds,
        files as f64 / seconds,
        json_bytes
    );
    Ok(())
}
