"""What a checkpoint was trained on and how, so that a resume goes on with the same and nothing else."""

from axolotl.training.fingerprint.compare import check_resume as check_resume
from axolotl.training.fingerprint.content import FINGERPRINT_FILE as FINGERPRINT_FILE
from axolotl.training.fingerprint.content import Fingerprint as Fingerprint
from axolotl.training.fingerprint.content import fingerprint as fingerprint
from axolotl.training.fingerprint.content import write_fingerprint as write_fingerprint
