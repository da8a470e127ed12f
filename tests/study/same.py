"""What must be equal between two runs of one study: everything but the time that it took."""

from dataclasses import replace

from gsfnas.record import StudyRecord


def timeless(study: StudyRecord) -> StudyRecord:
    def without(records):
        return tuple(replace(record, seconds=0.0) for record in records)

    return replace(study, records=without(study.records), replicates=without(study.replicates))


def numbers(study: StudyRecord) -> dict:
    """The measured numbers by run, whatever the order in which the runs came."""
    return {
        (record.candidate.key, record.seed): (record.metrics, record.curve, record.cost, record.run_id)
        for record in (*study.records, *study.replicates)
    }
