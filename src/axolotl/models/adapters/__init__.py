"""Adapters through peft: new ones, and saved ones to go on with, to answer or to merge."""

from axolotl.models.adapters.new import attach_new as attach_new
from axolotl.models.adapters.new import check_names as check_names
from axolotl.models.adapters.number_format import measure_anew as measure_anew
from axolotl.models.adapters.number_format import to_fp32 as to_fp32
from axolotl.models.adapters.saved import attach_saved as attach_saved
from axolotl.models.adapters.saved import check_saved as check_saved
from axolotl.models.adapters.saved import gone_on_with as gone_on_with
from axolotl.models.adapters.saved import own_base as own_base
from axolotl.models.adapters.saved import save_adapter as save_adapter
from axolotl.models.adapters.saved import take_weights as take_weights
from axolotl.models.adapters.saved import with_own_base as with_own_base
from axolotl.models.adapters.starts import keep_base as keep_base
from axolotl.models.adapters.targets import linear_names as linear_names
from axolotl.models.adapters.targets import saved_modules as saved_modules
from axolotl.models.adapters.targets import token_modules as token_modules
