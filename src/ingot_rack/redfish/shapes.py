"""How the BMCs of several makers depart from the plainest Redfish, as data.

Why: a client that was only ever tried against one faithful service is a client for that service.
May not: act. Each shape says where its manners were reported, or that nobody reported them: no BMC was recorded.
Which of them boot over HTTP is nobody's report: all three kinds are there so that a client meets them.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One maker's manners.

    ``renames``: pairs (our path, the maker's), applied to every path on the wire. ``media``: under which of System
    and Manager the drives are; ``media_by``: "action", "patch" or "hpe" (an action below Oem); ``media_needs`` and
    ``media_refuses``: parameters of an insertion that must, or must not, be given; ``eject_body``: ejecting wants
    a body; ``both_modes``: BIOS and UEFI can be chosen (simulated machines only);
    ``http_boot``: UefiHttp with HttpBootUri ("uri"), with the URL from DHCP alone ("dhcp"), or not at all ("");
    ``newer_sensors``: Sensors and PowerSubsystem in place of Thermal and Power; ``expands``: $expand is understood;
    ``update_by``: "simple" (SimpleUpdate) or "push" (multipart); ``update_targets``: SimpleUpdate may name Targets;
    ``volumes_on_reset``: volumes are made and deleted at the machine's next start only.
    """

    manufacturer: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    media: tuple[str, ...] = ("System", "Manager")
    media_by: str = "action"
    media_needs: tuple[str, ...] = ()
    media_refuses: tuple[str, ...] = ()
    eject_body: bool = False
    usb_cd: bool = False
    whole_boot: bool = False
    action_info: bool = False
    both_modes: bool = False
    http_boot: str = "uri"
    newer_sensors: bool = False
    expands: bool = False
    update_by: str = "simple"
    update_targets: bool = True
    volumes_on_reset: bool = False


PLAIN = Shape()
SHAPES = {
    "plain": PLAIN,
    # Drives under Managers (ironic's redfish virtual media documentation). Paths as iDRAC is known to name them; no
    # document or recording was at hand.
    "dell": Shape(
        manufacturer="Dell Inc.",
        renames=(
            ("/Systems/1", "/Systems/System.Embedded.1"),
            ("/Managers/1", "/Managers/iDRAC.Embedded.1"),
            ("/Chassis/1", "/Chassis/System.Embedded.1"),
            ("/VirtualMedia/Cd", "/VirtualMedia/CD"),
            ("/VirtualMedia/Usb", "/VirtualMedia/RemovableDisk"),
        ),
        media=("Manager",),
        both_modes=True,
        expands=True,
        update_targets=False,
        volumes_on_reset=True,
    ),
    # iLO: ejecting without a JSON body is refused (note in sushy's virtual_media.py).
    "hpe": Shape(
        manufacturer="HPE",
        renames=(("/VirtualMedia/Usb", "/VirtualMedia/1"), ("/VirtualMedia/Cd", "/VirtualMedia/2")),
        media=("Manager",),
        eject_body=True,
        newer_sensors=True,
        expands=True,
    ),
    # iLO 4 and early iLO 5 have the drives' actions below Oem: common knowledge, not checked against BMC or document.
    "hpe-old": Shape(
        manufacturer="HPE",
        renames=(("/VirtualMedia/Usb", "/VirtualMedia/1"), ("/VirtualMedia/Cd", "/VirtualMedia/2")),
        media=("Manager",),
        media_by="hpe",
        eject_body=True,
    ),
    # ThinkSystem SD530: no action; a PATCH that must say Inserted (note in sushy's virtual_media.py).
    "lenovo": Shape(
        manufacturer="Lenovo",
        renames=(("/VirtualMedia/Cd", "/VirtualMedia/EXT1"), ("/VirtualMedia/Usb", "/VirtualMedia/EXT2")),
        media=("Manager",),
        media_by="patch",
        media_needs=("Inserted",),
        http_boot="dhcp",
    ),
    # X11 and X12: Inserted and WriteProtected are refused, media boots as UsbCd (notes in sushy).
    "supermicro": Shape(
        manufacturer="Supermicro",
        renames=(("/VirtualMedia/Cd", "/VirtualMedia/CD1"), ("/VirtualMedia/Usb", "/VirtualMedia/Floppy1")),
        media=("Manager",),
        media_refuses=("Inserted", "WriteProtected"),
        usb_cd=True,
    ),
    # DGX: credentials must be given, whatever they are (sushy bug 2071945); also wants the protocol named.
    "nvidia": Shape(
        manufacturer="NVIDIA",
        media=("System",),
        media_needs=("TransferProtocolType", "UserName", "Password"),
        action_info=True,
        newer_sensors=True,
        update_by="push",
    ),
    # MegaRAC, also in ASRock Rack: a partial Boot object is refused (ironic lists these makers for it). That some want
    # TransferMethod was not checked against a BMC or a document.
    "ami": Shape(
        manufacturer="AMI", media=("Manager",), media_needs=("TransferMethod",), whole_boot=True, http_boot=""
    ),
}
